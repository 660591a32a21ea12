"""A secret that must never be found in what a run writes, in all forms in which somebody may say it."""

from collections.abc import Iterator
from pathlib import Path

CANARY = "hunter2CANARY"
SAYINGS = (
    f"password={CANARY}",
    f'"password": "{CANARY} with blanks"',
    f"{{'api_key': '{CANARY}'}}",
    f'{{\\"token\\":\\"{CANARY}\\"}}',
    f"MYSQL_PWD={CANARY}",
    f"dbPass={CANARY}",
    f"AWS_SECRET_ACCESS_KEY={CANARY}",
    f"client-key-data: {CANARY}",
    f"secret => {CANARY}",
    f"https_proxy=http://user:{CANARY}@proxy:3128/ was refused",
    f"docker build --build-arg http_proxy=http://user:with/{CANARY}@proxy:3128",
    f"redis://:{CANARY}@10.0.0.1:6379",
    f"Authorization: Basic {CANARY}",
    f"'Authorization':['Bearer {CANARY}']",
    f"sent with bearer {CANARY}",
    f"Set-Cookie: a={CANARY}; b={CANARY}",
    f"kubectl --token {CANARY} get pods",
    f'["curl","--oauth2-token","{CANARY}"]',
    f"kubectl --token={CANARY}",
    f"curl -u me:{CANARY} https://a",
    f"mysql -uroot -p{CANARY} db",
    f"redis-cli -h a -a {CANARY} ping",
    f"EnvVar{{Name:A,Value:{CANARY},with commas,ValueFrom:nil,}},EnvVar{{Name:B,Value:,ValueFrom:nil,}}",
    f"&Container{{Name:x,Image:y,Command:[sh -c {CANARY}],Args:[--a {CANARY}],WorkingDir:,Env:[]}} start failed",
    f"HTTPHeader{{Name:X-Any,Value:{CANARY},}}",
    f"-----BEGIN RSA PRIVATE KEY-----\\n{CANARY}\\n-----END RSA PRIVATE KEY-----",
)


def found_in(folder: Path, canary: str = CANARY) -> Iterator[str]:
    """Which files below a folder have the canary in their content or name."""
    for path in sorted(folder.rglob("*")):
        if canary in path.name or (path.is_file() and canary.encode() in path.read_bytes()):
            yield str(path.relative_to(folder))
