// Command kwokctl is kwokctl reduced to what makes a simulated cluster out of programs: `create cluster` with the
// binary runtime. Its own main package also links what starts clusters in containers, and needs another version of a
// library that Kubernetes uses too.
//
// It is also the kubectl that it calls itself to see whether the API server is ready: `--kubeconfig FILE get --raw
// PATH`. So a simulated cluster can be made before kubectl is built.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwokctl/cmd/create"
	_ "sigs.k8s.io/kwok/pkg/kwokctl/runtime/binary"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

func main() {
	if err := run(signals.SetupSignalContext()); err != nil {
		fmt.Fprintln(os.Stderr, "kwokctl:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// kwok's packages parse their own flags out of the command line and have to pass over all others.
	flags := pflag.NewFlagSet("common", pflag.ContinueOnError)
	flags.ParseErrorsWhitelist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ = log.InitFlags(ctx, flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		return fmt.Errorf("the configuration cannot be read: %w", err)
	}
	command := &cobra.Command{Use: "kwokctl", SilenceUsage: true, SilenceErrors: true, TraverseChildren: true}
	command.PersistentFlags().AddFlagSet(flags)
	command.PersistentFlags().StringVar(&config.DefaultCluster, "name", config.DefaultCluster, "the cluster's name")
	command.AddGroup(&cobra.Group{ID: "cluster", Title: "Cluster commands:"})
	kubeconfig := command.Flags().String("kubeconfig", "", "for get: file that says where the API server is")
	command.AddCommand(create.NewCommand(ctx), get(kubeconfig))
	return command.ExecuteContext(ctx)
}

// get prints what the API server answers for a path.
func get(kubeconfig *string) *cobra.Command {
	command := &cobra.Command{Use: "get", Args: cobra.NoArgs}
	path := command.Flags().String("raw", "", "path of the API")
	command.RunE = func(command *cobra.Command, _ []string) error {
		at, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
		if err != nil {
			return err
		}
		api, err := kubernetes.NewForConfig(at)
		if err != nil {
			return err
		}
		said, err := api.RESTClient().Get().AbsPath(*path).DoRaw(command.Context())
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(said)
		return err
	}
	return command
}
