module kube-ordeal/small

go 1.26.0

tool (
	github.com/containernetworking/plugins/plugins/ipam/host-local
	github.com/containernetworking/plugins/plugins/main/bridge
	github.com/containernetworking/plugins/plugins/main/loopback
	github.com/containernetworking/plugins/plugins/main/ptp
	github.com/containernetworking/plugins/plugins/meta/portmap
	github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher
	github.com/rancher/local-path-provisioner
	sigs.k8s.io/kind
)

require (
	github.com/container-storage-interface/spec v1.13.0
	github.com/coredns/coredns v1.14.1
	github.com/flannel-io/flannel v0.28.4
	github.com/spf13/cobra v1.9.1
	github.com/spf13/pflag v1.0.6
	golang.org/x/sys v0.31.0
	google.golang.org/grpc v1.72.1
	google.golang.org/protobuf v1.36.5
	k8s.io/api v0.34.4
	k8s.io/apimachinery v0.34.4
	k8s.io/client-go v0.34.4
	k8s.io/kubelet v0.34.4
	k8s.io/utils v0.0.0-20250604170112-4c0f3b243397
	sigs.k8s.io/kwok v0.8.0
	sigs.k8s.io/sig-storage-lib-external-provisioner/v13 v13.1.0
)

require (
	al.essio.dev/pkg/shellescape v1.5.1 // indirect
	cel.dev/expr v0.24.0 // indirect
	dario.cat/mergo v1.0.1 // indirect
	github.com/BurntSushi/toml v1.4.0 // indirect
	github.com/Masterminds/goutils v1.1.1 // indirect
	github.com/Masterminds/semver/v3 v3.4.0 // indirect
	github.com/Masterminds/sprig/v3 v3.3.0 // indirect
	github.com/Microsoft/go-winio v0.6.2 // indirect
	github.com/Microsoft/hcsshim v0.14.1 // indirect
	github.com/NYTimes/gziphandler v1.1.1 // indirect
	github.com/Sirupsen/logrus v0.11.0 // indirect
	github.com/alexflint/go-filemutex v1.3.0 // indirect
	github.com/antlr4-go/antlr/v4 v4.13.0 // indirect
	github.com/apparentlymart/go-cidr v1.1.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/blang/semver/v4 v4.0.0 // indirect
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/containerd/cgroups/v3 v3.0.5 // indirect
	github.com/containerd/errdefs v1.0.0 // indirect
	github.com/containerd/errdefs/pkg v0.3.0 // indirect
	github.com/containerd/stargz-snapshotter/estargz v0.18.1 // indirect
	github.com/containerd/typeurl/v2 v2.2.2 // indirect
	github.com/containernetworking/cni v1.3.0 // indirect
	github.com/containernetworking/plugins v1.9.1 // indirect
	github.com/coredns/caddy v1.1.4-0.20250930002214-15135a999495 // indirect
	github.com/coreos/go-iptables v0.8.0 // indirect
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/coreos/go-systemd/v22 v22.5.0 // indirect
	github.com/cpuguy83/go-md2man/v2 v2.0.7 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/dnstap/golang-dnstap v0.4.0 // indirect
	github.com/docker/cli v29.2.0+incompatible // indirect
	github.com/docker/distribution v2.8.3+incompatible // indirect
	github.com/docker/docker-credential-helpers v0.9.3 // indirect
	github.com/emicklei/go-restful/v3 v3.12.2 // indirect
	github.com/evanphx/json-patch v5.9.11+incompatible // indirect
	github.com/evanphx/json-patch/v5 v5.9.11 // indirect
	github.com/farsightsec/golang-framestream v0.3.0 // indirect
	github.com/felixge/httpsnoop v1.0.4 // indirect
	github.com/flynn/go-shlex v0.0.0-20150515145356-3f9db97f8568 // indirect
	github.com/fsnotify/fsnotify v1.9.0 // indirect
	github.com/fxamacker/cbor/v2 v2.9.0 // indirect
	github.com/go-errors/errors v1.4.2 // indirect
	github.com/go-logr/logr v1.4.2 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-logr/zapr v1.3.0 // indirect
	github.com/go-openapi/jsonpointer v0.21.0 // indirect
	github.com/go-openapi/jsonreference v0.20.2 // indirect
	github.com/go-openapi/swag v0.23.0 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/groupcache v0.0.0-20210331224755-41bb18bfe9da // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/google/cel-go v0.26.0 // indirect
	github.com/google/gnostic-models v0.7.0 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/google/go-containerregistry v0.20.7 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/go-grpc-prometheus v1.2.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.26.3 // indirect
	github.com/grpc-ecosystem/grpc-opentracing v0.0.0-20180507213350-8e809c8a8645 // indirect
	github.com/huandu/xstrings v1.5.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/itchyny/gojq v0.12.19 // indirect
	github.com/itchyny/timefmt-go v0.1.8 // indirect
	github.com/josharian/intern v1.0.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/compress v1.18.1 // indirect
	github.com/kubernetes-csi/csi-lib-utils v0.25.0 // indirect
	github.com/kubernetes-csi/external-attacher/v4 v4.13.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/mailru/easyjson v0.7.7 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/mattn/go-shellwords v1.0.12 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.4 // indirect
	github.com/miekg/dns v1.1.73 // indirect
	github.com/mitchellh/copystructure v1.2.0 // indirect
	github.com/mitchellh/go-homedir v1.1.0 // indirect
	github.com/mitchellh/reflectwalk v1.0.2 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.3-0.20250322232337-35a7c28c31ee // indirect
	github.com/monochromegane/go-gitignore v0.0.0-20200626010858-205db1a8cc00 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/networkplumbing/go-nft v0.4.0 // indirect
	github.com/nxadm/tail v1.4.11 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/opentracing/opentracing-go v1.2.0 // indirect
	github.com/pelletier/go-toml v1.9.5 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/prometheus/client_golang v1.22.0 // indirect
	github.com/prometheus/client_model v0.6.1 // indirect
	github.com/prometheus/common v0.62.0 // indirect
	github.com/prometheus/procfs v0.15.1 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/quic-go/quic-go v0.59.0 // indirect
	github.com/rancher/local-path-provisioner v0.0.30 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/safchain/ethtool v0.6.2 // indirect
	github.com/shopspring/decimal v1.4.0 // indirect
	github.com/sirupsen/logrus v1.9.3 // indirect
	github.com/spf13/cast v1.7.0 // indirect
	github.com/stoewer/go-strcase v1.3.0 // indirect
	github.com/urfave/cli v1.22.16 // indirect
	github.com/vbatts/tar-split v0.12.2 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	github.com/wzshiming/ctc v1.2.3 // indirect
	github.com/wzshiming/easycel v0.6.0 // indirect
	github.com/wzshiming/httpseek v0.6.1 // indirect
	github.com/wzshiming/winseq v0.0.0-20200720163736-7fa652d2b50e // indirect
	github.com/x448/float16 v0.8.4 // indirect
	github.com/xlab/treeprint v1.2.0 // indirect
	go.etcd.io/etcd/api/v3 v3.6.4 // indirect
	go.etcd.io/etcd/client/pkg/v3 v3.6.4 // indirect
	go.etcd.io/etcd/client/v3 v3.6.4 // indirect
	go.opencensus.io v0.24.0 // indirect
	go.opentelemetry.io/auto/sdk v1.1.0 // indirect
	go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc v0.60.0 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.58.0 // indirect
	go.opentelemetry.io/otel v1.35.0 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.34.0 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.34.0 // indirect
	go.opentelemetry.io/otel/metric v1.35.0 // indirect
	go.opentelemetry.io/otel/sdk v1.34.0 // indirect
	go.opentelemetry.io/otel/trace v1.35.0 // indirect
	go.opentelemetry.io/proto/otlp v1.5.0 // indirect
	go.uber.org/automaxprocs v1.6.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.27.0 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
	go.yaml.in/yaml/v3 v3.0.4 // indirect
	golang.org/x/crypto v0.36.0 // indirect
	golang.org/x/exp v0.0.0-20240719175910-8a7402abbf56 // indirect
	golang.org/x/net v0.38.0 // indirect
	golang.org/x/oauth2 v0.27.0 // indirect
	golang.org/x/sync v0.12.0 // indirect
	golang.org/x/term v0.30.0 // indirect
	golang.org/x/text v0.23.0 // indirect
	golang.org/x/time v0.9.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20250303144028-a0af3efb3deb // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250303144028-a0af3efb3deb // indirect
	gopkg.in/evanphx/json-patch.v4 v4.12.0 // indirect
	gopkg.in/inf.v0 v0.9.1 // indirect
	gopkg.in/tomb.v1 v1.0.0-20141024135613-dd632973f1e7 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
	k8s.io/apiserver v0.34.4 // indirect
	k8s.io/component-base v0.34.4 // indirect
	k8s.io/csi-translation-lib v0.0.0 // indirect
	k8s.io/klog/v2 v2.130.1 // indirect
	k8s.io/kube-openapi v0.0.0-20250710124328-f3f2b991d03b // indirect
	sigs.k8s.io/apiserver-network-proxy/konnectivity-client v0.31.2 // indirect
	sigs.k8s.io/json v0.0.0-20241014173422-cfa47c3a1cc8 // indirect
	sigs.k8s.io/kind v0.33.0 // indirect
	sigs.k8s.io/knftables v0.0.17 // indirect
	sigs.k8s.io/kustomize/api v0.20.1 // indirect
	sigs.k8s.io/kustomize/kyaml v0.20.1 // indirect
	sigs.k8s.io/mcs-api v0.3.0 // indirect
	sigs.k8s.io/randfill v1.0.0 // indirect
	sigs.k8s.io/sig-storage-lib-external-provisioner/v10 v10.0.1 // indirect
	sigs.k8s.io/structured-merge-diff/v6 v6.3.0 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)

replace (
	k8s.io/api => k8s.io/api v0.34.4
	k8s.io/apiextensions-apiserver => k8s.io/apiextensions-apiserver v0.34.4
	k8s.io/apimachinery => k8s.io/apimachinery v0.34.4
	k8s.io/apiserver => k8s.io/apiserver v0.34.4
	k8s.io/cli-runtime => k8s.io/cli-runtime v0.34.4
	k8s.io/client-go => k8s.io/client-go v0.34.4
	k8s.io/cloud-provider => k8s.io/cloud-provider v0.34.4
	k8s.io/cluster-bootstrap => k8s.io/cluster-bootstrap v0.34.4
	k8s.io/code-generator => k8s.io/code-generator v0.34.4
	k8s.io/component-base => k8s.io/component-base v0.34.4
	k8s.io/component-helpers => k8s.io/component-helpers v0.34.4
	k8s.io/controller-manager => k8s.io/controller-manager v0.34.4
	k8s.io/cri-api => k8s.io/cri-api v0.34.4
	k8s.io/cri-client => k8s.io/cri-client v0.34.4
	k8s.io/csi-translation-lib => k8s.io/csi-translation-lib v0.34.4
	k8s.io/dynamic-resource-allocation => k8s.io/dynamic-resource-allocation v0.34.4
	k8s.io/endpointslice => k8s.io/endpointslice v0.34.4
	k8s.io/externaljwt => k8s.io/externaljwt v0.34.4
	k8s.io/kms => k8s.io/kms v0.34.4
	k8s.io/kube-aggregator => k8s.io/kube-aggregator v0.34.4
	k8s.io/kube-controller-manager => k8s.io/kube-controller-manager v0.34.4
	k8s.io/kube-proxy => k8s.io/kube-proxy v0.34.4
	k8s.io/kube-scheduler => k8s.io/kube-scheduler v0.34.4
	k8s.io/kubectl => k8s.io/kubectl v0.34.4
	k8s.io/kubelet => k8s.io/kubelet v0.34.4
	k8s.io/metrics => k8s.io/metrics v0.34.4
	k8s.io/mount-utils => k8s.io/mount-utils v0.34.4
	k8s.io/pod-security-admission => k8s.io/pod-security-admission v0.34.4
	k8s.io/sample-apiserver => k8s.io/sample-apiserver v0.34.4
	k8s.io/sample-cli-plugin => k8s.io/sample-cli-plugin v0.34.4
	k8s.io/sample-controller => k8s.io/sample-controller v0.34.4
)

exclude github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common v1.3.79

exclude (
	cel.dev/expr v0.25.1
	cel.dev/expr v0.25.3
)

exclude github.com/antlr4-go/antlr/v4 v4.13.1

exclude github.com/containerd/typeurl/v2 v2.2.3

exclude (
	github.com/coreos/go-systemd/v22 v22.6.0
	github.com/coreos/go-systemd/v22 v22.7.0
)

exclude github.com/cyphar/filepath-securejoin v0.6.0

exclude github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc

exclude github.com/emicklei/go-restful/v3 v3.13.0

exclude github.com/felixge/httpsnoop v1.1.0

exclude github.com/fsnotify/fsnotify v1.10.1

exclude github.com/fxamacker/cbor/v2 v2.9.3

exclude github.com/go-errors/errors v1.5.1

exclude (
	github.com/go-logr/logr v1.4.3
	github.com/go-logr/logr v1.4.4
)

exclude (
	github.com/go-openapi/jsonpointer v1.0.0
	github.com/go-openapi/jsonpointer v1.0.2
)

exclude (
	github.com/go-openapi/jsonreference v0.21.0
	github.com/go-openapi/jsonreference v1.0.0
	github.com/go-openapi/jsonreference v1.0.1
)

exclude (
	github.com/go-openapi/swag v0.27.1
	github.com/go-openapi/swag v0.29.1
)

exclude github.com/google/cel-go v0.30.0

exclude github.com/google/gnostic-models v0.7.1

exclude (
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.27.2
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.27.7
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.30.0
)

exclude github.com/moby/spdystream v0.5.1

exclude github.com/opencontainers/selinux v1.13.0

exclude github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2

exclude (
	github.com/prometheus/client_golang v1.23.0
	github.com/prometheus/client_golang v1.23.2
	github.com/prometheus/client_golang v1.24.1
)

exclude (
	github.com/prometheus/client_model v0.6.2
	github.com/prometheus/client_model v0.6.3
)

exclude (
	github.com/prometheus/common v0.65.0
	github.com/prometheus/common v0.67.5
	github.com/prometheus/common v0.70.1
	github.com/prometheus/common v0.71.0
)

exclude (
	github.com/prometheus/procfs v0.16.1
	github.com/prometheus/procfs v0.19.2
	github.com/prometheus/procfs v0.21.1
	github.com/prometheus/procfs v0.22.0
)

exclude (
	github.com/spf13/cobra v1.10.1
	github.com/spf13/cobra v1.10.2
)

exclude (
	github.com/spf13/pflag v1.0.9
	github.com/spf13/pflag v1.0.10
)

exclude (
	go.etcd.io/etcd/api/v3 v3.6.7
	go.etcd.io/etcd/api/v3 v3.6.10
	go.etcd.io/etcd/api/v3 v3.7.1
)

exclude (
	go.etcd.io/etcd/client/pkg/v3 v3.6.7
	go.etcd.io/etcd/client/pkg/v3 v3.6.10
	go.etcd.io/etcd/client/pkg/v3 v3.7.1
)

exclude (
	go.etcd.io/etcd/client/v3 v3.6.7
	go.etcd.io/etcd/client/v3 v3.6.10
	go.etcd.io/etcd/client/v3 v3.7.1
)

exclude go.opentelemetry.io/auto/sdk v1.2.1

exclude go.opentelemetry.io/contrib/instrumentation/github.com/emicklei/go-restful/otelrestful v0.69.0

exclude (
	go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc v0.65.0
	go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc v0.71.0
)

exclude (
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.61.0
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.65.0
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.71.0
)

exclude (
	go.opentelemetry.io/otel v1.36.0
	go.opentelemetry.io/otel v1.38.0
	go.opentelemetry.io/otel v1.41.0
	go.opentelemetry.io/otel v1.43.0
	go.opentelemetry.io/otel v1.44.0
	go.opentelemetry.io/otel v1.46.0
)

exclude (
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.40.0
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.46.0
)

exclude (
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.40.0
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.46.0
)

exclude (
	go.opentelemetry.io/otel/metric v1.36.0
	go.opentelemetry.io/otel/metric v1.38.0
	go.opentelemetry.io/otel/metric v1.41.0
	go.opentelemetry.io/otel/metric v1.43.0
	go.opentelemetry.io/otel/metric v1.44.0
	go.opentelemetry.io/otel/metric v1.46.0
)

exclude (
	go.opentelemetry.io/otel/sdk v1.35.0
	go.opentelemetry.io/otel/sdk v1.38.0
	go.opentelemetry.io/otel/sdk v1.43.0
	go.opentelemetry.io/otel/sdk v1.44.0
	go.opentelemetry.io/otel/sdk v1.46.0
)

exclude (
	go.opentelemetry.io/otel/trace v1.36.0
	go.opentelemetry.io/otel/trace v1.38.0
	go.opentelemetry.io/otel/trace v1.41.0
	go.opentelemetry.io/otel/trace v1.43.0
	go.opentelemetry.io/otel/trace v1.44.0
	go.opentelemetry.io/otel/trace v1.46.0
)

exclude (
	go.opentelemetry.io/proto/otlp v1.9.0
	go.opentelemetry.io/proto/otlp v1.11.0
)

exclude go.uber.org/zap v1.28.0

exclude (
	go.yaml.in/yaml/v2 v2.4.3
	go.yaml.in/yaml/v2 v2.4.4
)

exclude go.yaml.in/yaml/v3 v3.0.5

exclude (
	golang.org/x/crypto v0.38.0
	golang.org/x/crypto v0.40.0
	golang.org/x/crypto v0.41.0
	golang.org/x/crypto v0.44.0
	golang.org/x/crypto v0.47.0
	golang.org/x/crypto v0.48.0
	golang.org/x/crypto v0.51.0
	golang.org/x/crypto v0.54.0
	golang.org/x/crypto v0.55.0
)

exclude (
	golang.org/x/exp v0.0.0-20241108190413-2d47ceb2692f
	golang.org/x/exp v0.0.0-20250408133849-7e4ce0ab07d0
	golang.org/x/exp v0.0.0-20251219203646-944ab1f22d93
	golang.org/x/exp v0.0.0-20260410095643-746e56fc9e2f
)

exclude (
	golang.org/x/net v0.40.0
	golang.org/x/net v0.42.0
	golang.org/x/net v0.43.0
	golang.org/x/net v0.47.0
	golang.org/x/net v0.49.0
	golang.org/x/net v0.51.0
	golang.org/x/net v0.55.0
	golang.org/x/net v0.57.0
	golang.org/x/net v0.58.0
)

exclude (
	golang.org/x/oauth2 v0.30.0
	golang.org/x/oauth2 v0.32.0
	golang.org/x/oauth2 v0.33.0
	golang.org/x/oauth2 v0.34.0
	golang.org/x/oauth2 v0.36.0
)

exclude (
	golang.org/x/sync v0.14.0
	golang.org/x/sync v0.16.0
	golang.org/x/sync v0.17.0
	golang.org/x/sync v0.18.0
	golang.org/x/sync v0.19.0
	golang.org/x/sync v0.20.0
	golang.org/x/sync v0.21.0
	golang.org/x/sync v0.22.0
)

exclude (
	golang.org/x/sys v0.33.0
	golang.org/x/sys v0.34.0
	golang.org/x/sys v0.35.0
	golang.org/x/sys v0.38.0
	golang.org/x/sys v0.39.0
	golang.org/x/sys v0.40.0
	golang.org/x/sys v0.43.0
	golang.org/x/sys v0.45.0
	golang.org/x/sys v0.46.0
	golang.org/x/sys v0.47.0
)

exclude (
	golang.org/x/term v0.32.0
	golang.org/x/term v0.33.0
	golang.org/x/term v0.34.0
	golang.org/x/term v0.37.0
	golang.org/x/term v0.38.0
	golang.org/x/term v0.39.0
	golang.org/x/term v0.40.0
	golang.org/x/term v0.44.0
	golang.org/x/term v0.45.0
)

exclude (
	golang.org/x/text v0.25.0
	golang.org/x/text v0.28.0
	golang.org/x/text v0.31.0
	golang.org/x/text v0.33.0
	golang.org/x/text v0.34.0
	golang.org/x/text v0.35.0
	golang.org/x/text v0.37.0
	golang.org/x/text v0.40.0
	golang.org/x/text v0.41.0
)

exclude (
	golang.org/x/time v0.14.0
	golang.org/x/time v0.15.0
)

exclude (
	golang.org/x/tools v0.33.0
	golang.org/x/tools v0.35.0
	golang.org/x/tools v0.36.0
	golang.org/x/tools v0.39.0
	golang.org/x/tools v0.40.0
	golang.org/x/tools v0.41.0
	golang.org/x/tools v0.42.0
	golang.org/x/tools v0.44.0
	golang.org/x/tools v0.48.0
)

exclude (
	google.golang.org/genproto/googleapis/api v0.0.0-20251029180050-ab9386a59fda
	google.golang.org/genproto/googleapis/api v0.0.0-20251202230838-ff82c1b0f217
	google.golang.org/genproto/googleapis/api v0.0.0-20260226221140-a57be14db171
	google.golang.org/genproto/googleapis/api v0.0.0-20260819154853-08b0e4226688
)

exclude (
	google.golang.org/genproto/googleapis/rpc v0.0.0-20251202230838-ff82c1b0f217
	google.golang.org/genproto/googleapis/rpc v0.0.0-20251222181119-0a764e51fe1b
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260128011058-8636f8732409
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260226221140-a57be14db171
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260825221802-da73d73af1c5
)

exclude (
	google.golang.org/grpc v1.72.2
	google.golang.org/grpc v1.78.0
	google.golang.org/grpc v1.79.3
	google.golang.org/grpc v1.81.1
	google.golang.org/grpc v1.83.2
)

exclude (
	google.golang.org/protobuf v1.36.6
	google.golang.org/protobuf v1.36.7
	google.golang.org/protobuf v1.36.10
	google.golang.org/protobuf v1.36.11
	google.golang.org/protobuf v1.36.12-0.20260120151049-f2248ac996af
	google.golang.org/protobuf v1.36.12
)

exclude gopkg.in/evanphx/json-patch.v4 v4.13.0

exclude (
	k8s.io/api v0.36.0
	k8s.io/api v0.36.1
	k8s.io/api v0.37.0
)

exclude (
	k8s.io/apimachinery v0.36.0
	k8s.io/apimachinery v0.36.1
	k8s.io/apimachinery v0.37.0
)

exclude (
	k8s.io/apiserver v0.36.1
	k8s.io/apiserver v0.37.0
)

exclude (
	k8s.io/client-go v0.36.0
	k8s.io/client-go v0.36.1
	k8s.io/client-go v0.37.0
)

exclude (
	k8s.io/component-base v0.36.0
	k8s.io/component-base v0.36.1
	k8s.io/component-base v0.37.0
)

exclude k8s.io/cri-api v0.36.1

exclude k8s.io/cri-client v0.36.1

exclude k8s.io/csi-translation-lib v0.37.0

exclude k8s.io/klog/v2 v2.140.0

exclude (
	k8s.io/kube-openapi v0.0.0-20260317180543-43fb72c5454a
	k8s.io/kube-openapi v0.0.0-20260721132016-d427ff9ee9ad
	k8s.io/kube-openapi v0.0.0-20260821135717-be32def86098
)

exclude (
	k8s.io/utils v0.0.0-20260210185600-b8788abfbbc2
	k8s.io/utils v0.0.0-20260626114624-be93311217bd
	k8s.io/utils v0.0.0-20260707023825-cf1189d6abe3
)

exclude sigs.k8s.io/apiserver-network-proxy/konnectivity-client v0.36.0

exclude sigs.k8s.io/json v0.0.0-20250730193827-2d320260d730

exclude sigs.k8s.io/knftables v0.0.18

exclude sigs.k8s.io/kustomize/api v0.21.1

exclude sigs.k8s.io/kustomize/kyaml v0.21.1

exclude (
	sigs.k8s.io/structured-merge-diff/v6 v6.3.2
	sigs.k8s.io/structured-merge-diff/v6 v6.4.1
	sigs.k8s.io/structured-merge-diff/v6 v6.4.2
)

exclude github.com/mailru/easyjson v0.9.0

exclude github.com/containerd/containerd/api v1.9.0

exclude github.com/containerd/ttrpc v1.2.7

exclude github.com/opencontainers/runtime-spec v1.2.1
