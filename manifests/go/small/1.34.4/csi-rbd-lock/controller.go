package main

import (
	"context"
	"log"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	provisioning "sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func apiClient() (kubernetes.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// controller is what the external attacher asks to attach and detach, and the provisioner to make and delete.
type controller struct {
	csi.UnimplementedControllerServer
	volumes *volumes
	client  kubernetes.Interface
}

func (c *controller) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, each := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME,
	} {
		rpc := &csi.ControllerServiceCapability_RPC{Type: each}
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc},
		})
	}
	return answer, nil
}

func (c *controller) CreateVolume(
	ctx context.Context, request *csi.CreateVolumeRequest,
) (*csi.CreateVolumeResponse, error) {
	if err := c.volumes.create(ctx, request.GetName(), request.GetParameters()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.CreateVolumeResponse{
		Volume: &csi.Volume{VolumeId: request.GetName(), VolumeContext: request.GetParameters()},
	}, nil
}

func (c *controller) DeleteVolume(
	ctx context.Context, request *csi.DeleteVolumeRequest,
) (*csi.DeleteVolumeResponse, error) {
	if err := c.volumes.remove(ctx, request.GetVolumeId()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ControllerPublishVolume has nothing to do: the node takes the lock when it stages the volume.
func (c *controller) ControllerPublishVolume(
	context.Context, *csi.ControllerPublishVolumeRequest,
) (*csi.ControllerPublishVolumeResponse, error) {
	return &csi.ControllerPublishVolumeResponse{}, nil
}

// ControllerUnpublishVolume is the fence. A node that gave the volume back has removed its lock. Where the lock is still
// there, it is taken away from a node that is known not to write any more, and from no other: the volume then stays
// attached to it.
func (c *controller) ControllerUnpublishVolume(
	ctx context.Context, request *csi.ControllerUnpublishVolumeRequest,
) (*csi.ControllerUnpublishVolumeResponse, error) {
	volume, name := request.GetVolumeId(), request.GetNodeId()
	kept, err := c.volumes.switchedOff(ctx, volume, releaseLock)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if kept {
		return &csi.ControllerUnpublishVolumeResponse{}, nil
	}
	held, err := c.volumes.pool.locks(ctx, volume)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	for _, each := range held {
		if each.ID != lockID(name) {
			continue
		}
		gone, err := c.outOfService(ctx, name)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		if !gone {
			return nil, status.Errorf(
				codes.FailedPrecondition, "node %s holds the lock of %s and nobody has said that it is out of service", name, volume,
			)
		}
		log.Printf("%s: the lock of %s, which is out of service, is taken away", volume, name)
		if _, err := c.volumes.pool.removeLocks(ctx, volume, each.ID); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}

// outOfService says whether the Node is gone, or has the taint by which an operator vouches that the machine is off.
func (c *controller) outOfService(ctx context.Context, name string) (bool, error) {
	found, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for _, taint := range found.Spec.Taints {
		if taint.Key == corev1.TaintNodeOutOfService {
			return true, nil
		}
	}
	return false, nil
}

// provisioner makes a PersistentVolume for a claim, as the external provisioner does: by CreateVolume and DeleteVolume.
type provisioner struct {
	volumes *controller
}

func provision(ctx context.Context, client kubernetes.Interface, volumes *controller) error {
	// The library waits 15 s after the first try that fails, and twice as long after each further one, and gives up after
	// the 15th. Here that is a pool that does not serve yet, and a workload that waits for its volume.
	again := workqueue.NewTypedItemExponentialFailureRateLimiter[string](500*time.Millisecond, 8*time.Second)
	made := provisioning.NewProvisionController(
		ctx, client, driverName, &provisioner{volumes: volumes},
		provisioning.LeaderElection(false), provisioning.RateLimiter(again),
		provisioning.FailedProvisionThreshold(0), provisioning.FailedDeleteThreshold(0),
	)
	made.Run(ctx)
	return ctx.Err()
}

func (p *provisioner) Provision(
	ctx context.Context, options provisioning.ProvisionOptions,
) (*corev1.PersistentVolume, provisioning.ProvisioningState, error) {
	asked := &csi.CreateVolumeRequest{Name: options.PVName, Parameters: options.StorageClass.Parameters}
	answer, err := p.volumes.CreateVolume(ctx, asked)
	if err != nil {
		return nil, provisioning.ProvisioningInBackground, err
	}
	policy := corev1.PersistentVolumeReclaimDelete
	if options.StorageClass.ReclaimPolicy != nil {
		policy = *options.StorageClass.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      options.PVC.Spec.Resources.Requests,
			PersistentVolumeReclaimPolicy: policy,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{
					Driver:           driverName,
					VolumeHandle:     answer.GetVolume().GetVolumeId(),
					VolumeAttributes: answer.GetVolume().GetVolumeContext(),
				},
			},
		},
	}, provisioning.ProvisioningFinished, nil
}

func (p *provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	_, err := p.volumes.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}
