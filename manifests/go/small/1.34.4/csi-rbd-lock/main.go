// Command csi-rbd-lock is a CSI driver whose volumes are locked as the RBD volumes of old kubelets were: the node that
// stages a volume holds the lock "kubelet_lock_magic_NODE" of an RBD image in a Ceph pool. The data is a plain folder of
// the same name, in a directory that all nodes share. So the lock is a real one, and the kernel needs no RBD.
//
// It runs in two roles. On each node it stages and publishes volumes, and tells the kubelet of itself. The controller
// makes and deletes volumes for claims, and takes a lock away from a node that is gone.
//
// Two parameters of a StorageClass make it known-bad: releaseLock: "false" keeps the lock when a node gives a volume
// back, and fence: "false" takes no lock at all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driverName    = "rbd-lock.kube-ordeal"
	driverVersion = "1.0.0"
)

func main() {
	log.SetFlags(log.LUTC | log.Ltime | log.Lmicroseconds)
	if err := run(); err != nil {
		log.Fatal("csi-rbd-lock: ", err)
	}
}

func run() error {
	role := flag.String("role", "", "node or controller")
	endpoint := flag.String("endpoint", "/csi/csi.sock", "the socket to serve on")
	announced := flag.String("kubelet-endpoint", "", "node: where the kubelet finds that socket")
	announceAt := flag.String("registration", "", "node: the socket on which the kubelet asks who we are")
	name := flag.String("node", "", "node: the name of this node")
	shared := flag.String("shared", "/var/kube-ordeal/shared", "the directory that all nodes share")
	pool := flag.String("pool", "rbd", "the Ceph pool of the images")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	volumes := &volumes{pool: rbdPool{name: *pool}, shared: *shared}
	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	csi.RegisterIdentityServer(server, &identity{})
	failed := make(chan error, 3)
	switch *role {
	case "node":
		if *name == "" || *announced == "" || *announceAt == "" {
			return errors.New("a node needs -node, -kubelet-endpoint and -registration")
		}
		csi.RegisterNodeServer(server, &node{name: *name, volumes: volumes})
		own := grpc.NewServer()
		registration.RegisterRegistrationServer(own, &registrar{endpoint: *announced})
		go func() { failed <- serve(own, *announceAt) }()
		defer own.Stop()
	case "controller":
		client, err := apiClient()
		if err != nil {
			return err
		}
		served := &controller{volumes: volumes, client: client}
		csi.RegisterControllerServer(server, served)
		go func() { failed <- provision(ctx, client, served) }()
	default:
		return fmt.Errorf("-role is %q; it is node or controller", *role)
	}
	go func() { failed <- serve(server, *endpoint) }()
	defer server.Stop()
	select {
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case <-ctx.Done():
		return nil
	}
}

// serve listens on a socket, in place of one that an earlier process has left there.
func serve(server *grpc.Server, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return server.Serve(listener)
}

// logged writes each call that changes something, or fails, to the log.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if named, ok := request.(interface{ GetVolumeId() string }); ok || err != nil {
		volume := ""
		if ok {
			volume = named.GetVolumeId()
		}
		log.Printf("%s %s: %v", info.FullMethod, volume, err)
	}
	return answer, err
}

// identity says who we are to whoever asks on the CSI socket.
type identity struct {
	csi.UnimplementedIdentityServer
}

func (*identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: driverName, VendorVersion: driverVersion}, nil
}

func (*identity) GetPluginCapabilities(
	context.Context, *csi.GetPluginCapabilitiesRequest,
) (*csi.GetPluginCapabilitiesResponse, error) {
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	return &csi.GetPluginCapabilitiesResponse{
		Capabilities: []*csi.PluginCapability{{Type: &csi.PluginCapability_Service_{Service: service}}},
	}, nil
}

func (*identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// registrar answers the kubelet's plugin watcher (k8s.io/kubelet/pkg/apis/pluginregistration/v1).
type registrar struct {
	registration.UnimplementedRegistrationServer
	endpoint string
}

func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              driverName,
		Endpoint:          r.endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r *registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	log.Printf("registered with the kubelet: %v %s", status.PluginRegistered, status.Error)
	return &registration.RegistrationStatusResponse{}, nil
}
