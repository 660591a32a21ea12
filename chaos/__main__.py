"""The entry point of the command, which says so where there is no Linux."""

import sys

from chaos.basics.system import why_not


def main() -> None:
    """The command; exit codes are those of chaos.cli.app."""
    if why := why_not():
        sys.stderr.write(f"kube-ordeal: {why}\n")
        sys.exit(2)
    from chaos.cli import app as cli  # noqa: PLC0415  (it imports what only Linux has)

    cli.main()


if __name__ == "__main__":
    main()
