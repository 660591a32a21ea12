// Command pause holds a pod's namespaces open. As the first process of a shared PID namespace it inherits orphans, so
// it reaps them; it ends at once on SIGTERM or SIGINT, so that a pod's end never waits for it.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for {
		// Reap first: a child may have ended before Notify was called. One SIGCHLD can stand for several children.
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
		if <-signals != syscall.SIGCHLD {
			return
		}
	}
}
