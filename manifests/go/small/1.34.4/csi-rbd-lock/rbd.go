package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// answersWithin is how long one call of rbd may take. Its single operations end by themselves after 10 s (ceph.conf);
// a call that did not end would keep its volume from being tried again.
const answersWithin = 45 * time.Second

// What the rbd program ends with (errno.h): the image is not there, it is there already, another one holds the lock.
const (
	exitNotFound = 2
	exitBusy     = 16
	exitExists   = 17
)

// rbdPool is a Ceph pool, asked through the rbd program, which finds the monitor in /etc/ceph/ceph.conf.
type rbdPool struct {
	name string
}

// lock is an entry of `rbd lock list`.
type lock struct {
	ID      string `json:"id"`
	Locker  string `json:"locker"`
	Address string `json:"address"`
}

// commandError is a call of rbd that ended with another code than 0.
type commandError struct {
	command string
	code    int
	said    string
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s ended with %d: %s", e.command, e.code, e.said)
}

// lockID is what kubelets called their locks (pkg/volume/rbd/rbd_util.go, until Kubernetes 1.30).
func lockID(node string) string {
	return "kubelet_lock_magic_" + node
}

func (p rbdPool) create(ctx context.Context, image string) error {
	// Layering alone: the feature exclusive-lock would take the same lock by itself.
	_, err := p.rbd(ctx, "create", "--size", "16M", "--image-feature", "layering", image)
	return ignoring(err, exitExists)
}

func (p rbdPool) remove(ctx context.Context, image string) error {
	_, err := p.rbd(ctx, "remove", "--no-progress", image)
	return ignoring(err, exitNotFound)
}

func (p rbdPool) setMeta(ctx context.Context, image, key, value string) error {
	_, err := p.rbd(ctx, "image-meta", "set", image, key, value)
	return err
}

func (p rbdPool) meta(ctx context.Context, image, key string) (string, error) {
	said, err := p.rbd(ctx, "image-meta", "get", image, key)
	return strings.TrimSpace(said), err
}

// locks lists who holds the image's lock; none where there is no such image.
func (p rbdPool) locks(ctx context.Context, image string) ([]lock, error) {
	said, err := p.rbd(ctx, "lock", "list", "--format", "json", image)
	if err != nil {
		return nil, ignoring(err, exitNotFound)
	}
	var held []lock
	if strings.TrimSpace(said) == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(said), &held); err != nil {
		return nil, fmt.Errorf("rbd lock list said %q: %w", said, err)
	}
	return held, nil
}

func (p rbdPool) addLock(ctx context.Context, image, id string) error {
	_, err := p.rbd(ctx, "lock", "add", image, id)
	return err
}

// removeLocks removes the locks of that id, whoever the client was that added them; an id of "" stands for all.
func (p rbdPool) removeLocks(ctx context.Context, image, id string) (int, error) {
	held, err := p.locks(ctx, image)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, each := range held {
		if id != "" && each.ID != id {
			continue
		}
		if _, err := p.rbd(ctx, "lock", "remove", image, each.ID, each.Locker); ignoring(err, exitNotFound) != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

func (p rbdPool) rbd(ctx context.Context, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	var out, said bytes.Buffer
	command := exec.CommandContext(ctx, "rbd", append([]string{"--pool", p.name}, arguments...)...)
	command.Stdout, command.Stderr = &out, &said
	command.WaitDelay = time.Second
	err := command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		last := strings.TrimSpace(said.String())
		return "", &commandError{strings.Join(command.Args, " "), ended.ExitCode(), last[max(0, len(last)-400):]}
	}
	return out.String(), err
}

// endedWith says whether the error is a call of rbd that ended with that code.
func endedWith(err error, code int) bool {
	var ended *commandError
	return errors.As(err, &ended) && ended.code == code
}

func ignoring(err error, code int) error {
	if endedWith(err, code) {
		return nil
	}
	return err
}
