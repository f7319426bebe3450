"""Real kernels, without walls unless a test asks for them."""

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runbookd.kernels.kernel import Kernel, KernelOptions, KernelOutput
from runbookd.kernels.sandbox import NoSandbox, Sandbox, Walls
from tests.kernels.proxied import backend, bench, client

__all__ = ["backend", "bench", "client"]

StartKernel = Callable[..., Awaitable[Kernel]]


class Outputs:
    """Keeps what a cell puts out; to be handed in as ``on_output``."""

    def __init__(self) -> None:
        self.pieces: list[KernelOutput] = []

    async def __call__(self, output: KernelOutput) -> None:
        self.pieces.append(output)

    def text(self, channel: str = "stdout") -> str:
        return "".join(
            str(piece.mimes["text/plain"]) for piece in self.pieces if piece.channel == channel
        )


@pytest.fixture
def outputs() -> Outputs:
    return Outputs()


@pytest.fixture
async def start_kernel(tmp_path: Path) -> AsyncIterator[StartKernel]:
    """Starts kernels with a scratch folder each, and ends them."""
    started: list[Kernel] = []

    async def start(sandbox: Sandbox | None = None, **options: Any) -> Kernel:
        given = {
            "kernelspec": "python3",
            "lane": "read-only",
            "scratch": tmp_path / f"scratch{len(started)}",
            "walls": Walls(),
            "grace_s": 1.0,
        } | options
        kernel = await Kernel.start(KernelOptions(**given), sandbox or NoSandbox())
        started.append(kernel)
        return kernel

    yield start
    for kernel in started:
        await kernel.end()


KernelspecFolder = Callable[[str, list[str]], None]


@pytest.fixture
def kernelspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelspecFolder:
    """Installs kernelspecs where Jupyter finds them; the connection file comes last."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def install(name: str, argv: list[str]) -> None:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {
            "argv": [*argv, "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
        }
        (folder / "kernel.json").write_text(json.dumps(spec))

    return install


@pytest.fixture
def tls_backend(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[tuple[str, Path]]]:
    """An HTTPS server that says "secure", and the file with its self-signed certificate.

    With ``clients=True`` it wants a certificate of its clients, and the same one is good for that;
    the private key is beside it, in ``key.pem``.
    """

    @asynccontextmanager
    async def serve(clients: bool = False) -> AsyncIterator[tuple[str, Path]]:
        certificate, key = certified(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if clients:
            context.load_verify_locations(certificate)
            context.verify_mode = ssl.CERT_REQUIRED

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", certificate

    return serve


def certified(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its private key, as files in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
