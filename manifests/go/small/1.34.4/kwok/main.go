// Command kwok plays the kubelets of the nodes that a label selector names: it renews their leases and plays the stages
// of the configuration on them and on their pods. These are kwok's own controllers; its own main package also links a
// server (logs, exec and the like of simulated pods) that is tied to another version of Kubernetes' libraries than the
// one that is built here.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/client/clientset/versioned"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/client"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

const (
	attempts    = 5
	retryAfterS = 1
)

func main() {
	if err := run(signals.SetupSignalContext()); err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// kwok's packages parse their own flags out of the command line, so each set has to pass over those of the others.
	common := pflag.NewFlagSet("common", pflag.ContinueOnError)
	common.ParseErrorsWhitelist.UnknownFlags = true
	common.Usage = func() {}
	ctx, logger := log.InitFlags(ctx, common)
	ctx, err := config.InitFlags(ctx, common)
	if err != nil {
		return fmt.Errorf("the configuration cannot be read: %w", err)
	}
	options := config.GetKwokConfiguration(ctx).Options

	flags := pflag.NewFlagSet("kwok", pflag.ContinueOnError)
	flags.AddFlagSet(common)
	kubeconfig := flags.String("kubeconfig", "", "file that says where the API server is")
	flags.StringVar(&options.CIDR, "cidr", options.CIDR, "range of the pods' addresses")
	flags.StringVar(&options.NodeIP, "node-ip", options.NodeIP, "address of every node")
	flags.BoolVar(&options.ManageAllNodes, "manage-all-nodes", options.ManageAllNodes, "play every node")
	flags.StringVar(&options.ManageNodesWithLabelSelector, "manage-nodes-with-label-selector",
		options.ManageNodesWithLabelSelector, "play the nodes that have these labels")
	flags.UintVar(&options.NodeLeaseDurationSeconds, "node-lease-duration-seconds",
		options.NodeLeaseDurationSeconds, "how long a node's lease holds")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *kubeconfig == "" {
		return errors.New("--kubeconfig is missing")
	}

	id, err := controllers.Identity()
	if err != nil {
		return err
	}
	ctx = log.NewContext(ctx, logger.With("id", id))
	settings, err := settingsOf(*kubeconfig)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", *kubeconfig, err)
	}
	settings.ID = id
	settings.LocalStages = stagesOf(ctx)
	settings.ManageAllNodes = options.ManageAllNodes
	settings.ManageNodesWithLabelSelector = options.ManageNodesWithLabelSelector
	settings.CIDR = options.CIDR
	settings.NodeIP = options.NodeIP
	settings.NodePort = options.NodePort
	settings.NodeLeaseDurationSeconds = options.NodeLeaseDurationSeconds
	settings.NodeLeaseParallelism = options.NodeLeaseParallelism
	settings.NodePlayStageParallelism = options.NodePlayStageParallelism
	settings.PodPlayStageParallelism = options.PodPlayStageParallelism
	settings.PodsOnNodeSyncParallelism = options.PodsOnNodeSyncParallelism
	settings.EnablePodsOnNodeSyncListPager = options.EnablePodsOnNodeSyncListPager
	settings.EnablePodsOnNodeSyncStreamWatch = options.EnablePodsOnNodeSyncStreamWatch

	if err := answers(ctx, settings.TypedClient); err != nil {
		return err
	}
	controller, err := controllers.NewController(settings)
	if err != nil {
		return err
	}
	if err := controller.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// settingsOf has the clients that the controllers work with, for the API server that a kubeconfig names.
func settingsOf(kubeconfig string) (controllers.Config, error) {
	none := controllers.Config{}
	clients, err := client.NewClientset("", kubeconfig)
	if err != nil {
		return none, err
	}
	at, err := clients.ToRESTConfig()
	if err != nil {
		return none, err
	}
	dynamic, err := clients.ToDynamicClient()
	if err != nil {
		return none, err
	}
	mapper, err := clients.ToRESTMapper()
	if err != nil {
		return none, err
	}
	raw, err := rest.RESTClientFor(at)
	if err != nil {
		return none, err
	}
	typed, err := kubernetes.NewForConfig(at)
	if err != nil {
		return none, err
	}
	own, err := versioned.NewForConfig(at)
	if err != nil {
		return none, err
	}
	return controllers.Config{
		Clock:                      clock.RealClock{},
		DynamicClient:              dynamic,
		RESTClient:                 raw,
		RESTMapper:                 mapper,
		TypedClient:                typed,
		TypedKwokClient:            own,
		ImpersonatingDynamicClient: clients.ToImpersonatingDynamicClient(),
		ImpersonatingTypedClient:   clients.ToImpersonatingTypedClient(),
	}, nil
}

// stagesOf has the stages of the configuration files, by the kind of object that they are played on.
func stagesOf(ctx context.Context) map[internalversion.StageResourceRef][]*internalversion.Stage {
	stages := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for _, stage := range config.FilterWithTypeFromContext[*internalversion.Stage](ctx) {
		stages[stage.Spec.ResourceRef] = append(stages[stage.Spec.ResourceRef], stage)
	}
	return stages
}

// answers waits for the API server, with a longer pause after each attempt, and gives up after the last.
func answers(ctx context.Context, api kubernetes.Interface) error {
	var err error
	for attempt := range attempts {
		if _, err = api.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfterS * time.Second << attempt):
		}
	}
	return fmt.Errorf("the API server does not list nodes: %w", err)
}
