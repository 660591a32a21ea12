package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// node stages a volume by taking its lock, and publishes it by a bind mount of its folder.
type node struct {
	csi.UnimplementedNodeServer
	name    string
	volumes *volumes
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *node) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	stages := &csi.NodeServiceCapability_RPC{Type: csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME}
	return &csi.NodeGetCapabilitiesResponse{
		Capabilities: []*csi.NodeServiceCapability{{Type: &csi.NodeServiceCapability_Rpc{Rpc: stages}}},
	}, nil
}

func (n *node) NodeStageVolume(
	ctx context.Context, request *csi.NodeStageVolumeRequest,
) (*csi.NodeStageVolumeResponse, error) {
	volume := request.GetVolumeId()
	unfenced, err := n.volumes.switchedOff(ctx, volume, fence)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if unfenced {
		log.Printf("%s is staged without a lock, as its class says", volume)
		return &csi.NodeStageVolumeResponse{}, nil
	}
	err = n.volumes.pool.addLock(ctx, volume, lockID(n.name))
	if endedWith(err, exitBusy) || endedWith(err, exitExists) {
		err = n.mine(ctx, volume)
	}
	if err != nil {
		if _, told := status.FromError(err); told {
			return nil, err
		}
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// mine is nil where the lock that is held is this node's own, from an earlier try.
func (n *node) mine(ctx context.Context, volume string) error {
	held, err := n.volumes.pool.locks(ctx, volume)
	if err != nil {
		return err
	}
	others := make([]string, 0, len(held))
	for _, each := range held {
		if each.ID != lockID(n.name) {
			others = append(others, each.ID)
		}
	}
	if len(others) == 0 && len(held) > 0 {
		return nil
	}
	return status.Errorf(
		codes.FailedPrecondition, "rbd: image %s is locked by other nodes (%s)", volume, strings.Join(others, ", "),
	)
}

func (n *node) NodeUnstageVolume(
	ctx context.Context, request *csi.NodeUnstageVolumeRequest,
) (*csi.NodeUnstageVolumeResponse, error) {
	volume := request.GetVolumeId()
	kept, err := n.volumes.switchedOff(ctx, volume, releaseLock)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if kept {
		log.Printf("%s keeps the lock of this node, as its class says", volume)
		return &csi.NodeUnstageVolumeResponse{}, nil
	}
	if _, err := n.volumes.pool.removeLocks(ctx, volume, lockID(n.name)); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (n *node) NodePublishVolume(
	_ context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	target := request.GetTargetPath()
	folder, err := n.volumes.folder(request.GetVolumeId())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if request.GetVolumeCapability().GetMount() == nil {
		return nil, status.Error(codes.InvalidArgument, "only volumes with a file system can be had")
	}
	if mounted, err := isMounted(target); err != nil || mounted {
		return &csi.NodePublishVolumeResponse{}, err
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if err := unix.Mount(folder, target, "", unix.MS_BIND, ""); err != nil {
		return nil, status.Error(codes.Internal, fmt.Sprintf("%s can't be mounted at %s: %v", folder, target, err))
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *node) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	target := request.GetTargetPath()
	for {
		mounted, err := isMounted(target)
		if err != nil {
			return nil, err
		}
		if !mounted {
			break
		}
		if err := unix.Unmount(target, 0); err != nil {
			return nil, status.Error(codes.Internal, fmt.Sprintf("%s can't be unmounted: %v", target, err))
		}
	}
	// Not with what is in it: a mount that was not seen would lose its data.
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// isMounted says whether something is mounted at that path (proc_pid_mountinfo(5), the fifth field).
func isMounted(path string) (bool, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, status.Error(codes.Internal, err.Error())
	}
	for _, line := range strings.Split(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == path {
			return true, nil
		}
	}
	return false, nil
}
