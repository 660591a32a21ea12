package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Parameters of a StorageClass, kept with the image: a node that unstages a volume is told nothing but its name.
const (
	releaseLock = "releaseLock" // "false": the lock stays when the node gives the volume back, as the historical bug had it
	fence       = "fence"       // "false": no lock is taken
)

// volumes are images in a pool, which hold the locks, and folders of the same names, which hold the data.
type volumes struct {
	pool   rbdPool
	shared string
}

func (v *volumes) folder(volume string) (string, error) {
	if volume == "" || volume != filepath.Base(volume) || strings.HasPrefix(volume, ".") {
		return "", fmt.Errorf("%q is no name of a volume", volume)
	}
	return filepath.Join(v.shared, volume), nil
}

func (v *volumes) create(ctx context.Context, volume string, parameters map[string]string) error {
	folder, err := v.folder(volume)
	if err != nil {
		return err
	}
	err = v.createImage(ctx, volume, parameters)
	if endedWith(err, exitNotFound) {
		// An image that was created and is not there: a try that a slow pool ended in the middle has left its name, and no
		// header. It is then in the way of `rbd create` for ever, and found by nothing else but `rbd remove`.
		if err := v.pool.remove(ctx, volume); err != nil {
			return err
		}
		err = v.createImage(ctx, volume, parameters)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	return os.Chmod(folder, 0o777) // whatever the umask, and whoever the pod's user is
}

// createImage makes the image, and keeps with it what its StorageClass says.
func (v *volumes) createImage(ctx context.Context, image string, parameters map[string]string) error {
	if err := v.pool.create(ctx, image); err != nil {
		return err
	}
	for _, key := range []string{releaseLock, fence} {
		value := "true"
		if parameters[key] == "false" {
			value = "false"
		}
		if err := v.pool.setMeta(ctx, image, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (v *volumes) remove(ctx context.Context, volume string) error {
	folder, err := v.folder(volume)
	if err != nil {
		return err
	}
	if _, err := v.pool.removeLocks(ctx, volume, ""); err != nil {
		return err
	}
	if err := v.pool.remove(ctx, volume); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// switchedOff says whether that parameter of the volume is "false". A volume that is gone has nothing switched off.
func (v *volumes) switchedOff(ctx context.Context, volume, key string) (bool, error) {
	value, err := v.pool.meta(ctx, volume, key)
	return value == "false", ignoring(err, exitNotFound)
}
