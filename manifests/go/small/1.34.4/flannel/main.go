// Command flanneld is flannel reduced to what a kube-ordeal node needs: the Kubernetes subnet manager and the host-gw
// back end, IPv4. flannel's own main package links all its back ends, of which one (udp) needs a C compiler and
// another a cloud vendor's SDK.
//
// It reads /etc/kube-flannel/net-conf.json and the node's podCIDR, gives every other node's podCIDR a route by that
// node's address, masquerades what leaves the pod network, and writes /run/flannel/subnet.env. It ends on SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
)

const (
	annotations  = "flannel.alpha.coreos.com"
	networkFile  = "/etc/kube-flannel/net-conf.json"
	subnetFile   = "/run/flannel/subnet.env"
	rulesResyncS = 5
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flanneld:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	manager, err := kube.NewSubnetManager(ctx, "", "", annotations, networkFile, true)
	if err != nil {
		return fmt.Errorf("the subnet manager did not start: %w", err)
	}
	network, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", networkFile, err)
	}
	family, err := ipmatch.GetIPFamily(network.EnableIPv4, network.EnableIPv6)
	if err != nil {
		return err
	}
	// No address is named, so it is that of the default route: a node that came back with another address announces it.
	uplink, err := ipmatch.LookupExtIface("", "", "", family, ipmatch.PublicIPOpts{})
	if err != nil {
		return fmt.Errorf("no interface leads to the other nodes: %w", err)
	}
	routes, err := backend.NewManager(ctx, manager, uplink).GetBackend(network.BackendType)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	registered, err := routes.RegisterNetwork(ctx, &running, network)
	if err != nil {
		return fmt.Errorf("the node's subnet cannot be announced: %w", err)
	}

	rules := &iptables.IPTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return err
	}
	// The empty networks are those of an earlier run, whose rules would have to go; a podCIDR does not change.
	err = rules.SetupAndEnsureMasqRules(ctx,
		network.Network, ip.IP4Net{}, ip.IP4Net{},
		network.IPv6Network, ip.IP6Net{}, ip.IP6Net{},
		registered.Lease(), rulesResyncS, false)
	if err != nil {
		return fmt.Errorf("the masquerade rules cannot be set: %w", err)
	}
	rules.SetupAndEnsureForwardRules(ctx, network.Network, network.IPv6Network, rulesResyncS)

	lease := registered.Lease()
	if err := manager.HandleSubnetFile(subnetFile, network, true, lease.Subnet, lease.IPv6Subnet, registered.MTU()); err != nil {
		return fmt.Errorf("%s cannot be written: %w", subnetFile, err)
	}
	running.Add(1)
	go func() {
		defer running.Done()
		registered.Run(ctx)
	}()
	err = manager.CompleteLease(ctx, lease, &running)
	running.Wait()
	if ctx.Err() != nil { // asked to end
		return nil
	}
	return err
}
