"""One delivery over HTTP, to a real server of this machine."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

import httpx
import pytest

from dms_tags.subscriptions.networks import Networks
from dms_tags.subscriptions.post import MAX_ANSWER, Outlet, Undelivered
from tests.support.receiver import CLOSE, receiving

T = TypeVar("T")

HERE = Networks(["127.0.0.0/8", "::1/128"])
HEADERS = [("webhook-id", "default/7"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x")]


def using(url: str, use: Callable[[Outlet], Awaitable[T]], networks: Networks = HERE, seconds: float = 5.0) -> T:
    async def run() -> T:
        outlet = Outlet(url, networks, httpx.create_ssl_context(), seconds=seconds)
        try:
            return await use(outlet)
        finally:
            await outlet.close()

    return asyncio.run(run())


def post(url: str, networks: Networks = HERE, seconds: float = 5.0) -> int:
    return using(url, lambda outlet: outlet.post(b"{}", HEADERS), networks, seconds)


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has names looked up to the addresses given, the next with each look-up; what is looked up."""

    def install(*answers: list[str]) -> list[str]:
        asked: list[str] = []

        async def getaddrinfo(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            told = answers[min(len(asked), len(answers)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in told]

        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
        return asked

    return install


def test_what_is_sent() -> None:
    """A POST of the body to the URL, with our headers and the right Host, on one connection for all."""

    async def thrice(outlet: Outlet) -> list[int]:
        return [await outlet.post(b'{"a": 1}', HEADERS) for _ in range(3)]

    with receiving() as receiver:
        assert [204, 204, 204] == using(f"{receiver.url}/hook?x=1", thrice)
        sent = receiver.sent

    assert ["/hook?x=1"] * 3 == [each.path for each in sent]
    assert {b'{"a": 1}'} == {each.body for each in sent}
    assert {receiver.url.removeprefix("http://")} == {each.headers["host"] for each in sent}
    assert {"application/cloudevents+json; charset=utf-8"} == {each.headers["content-type"] for each in sent}
    assert 1 == len({each.connection for each in sent})


def test_redirects_are_not_followed() -> None:
    """The status is told, and nothing else is asked."""
    with receiving() as receiver:
        receiver.answer = lambda _: 307

        assert 307 == post(receiver.url)
        assert 1 == len(receiver.sent)


def test_closed_in_the_middle() -> None:
    """A connection that ends before the answer is told as one."""
    with receiving() as receiver:
        receiver.answer = lambda _: CLOSE
        with pytest.raises(Undelivered, match="disconnected"):
            post(receiver.url)


def test_nobody_there() -> None:
    """So is one that cannot be made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Undelivered, match="connection"):
        post(f"http://127.0.0.1:{port}/")


def test_slow() -> None:
    """A receiver that takes longer than it may is given up on, also one that answers a byte now and then."""

    async def run() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            with closing(writer):
                while not writer.is_closing():
                    writer.write(b"H")
                    await asyncio.sleep(0.05)

        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            outlet = Outlet(
                f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HERE, httpx.create_ssl_context(), seconds=0.3
            )
            with pytest.raises(Undelivered, match=r"no answer within 0\.3 s"):
                await outlet.post(b"{}", HEADERS)
            await outlet.close()

    asyncio.run(run())


def test_an_answer_is_read_up_to_a_bound() -> None:
    """Of an answer without end no more than the bound is read; its status counts."""
    poured = 0

    async def run() -> int:
        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal poured
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            with closing(writer), suppress(ConnectionError):
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    poured += 65536

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            outlet = Outlet(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HERE, httpx.create_ssl_context())
            status = await outlet.post(b"{}", HEADERS)
            await outlet.close()
            return status

    assert 200 == asyncio.run(run())
    assert poured < 200 * MAX_ANSWER


def test_addresses_that_are_not_named() -> None:
    """Nothing is connected to that no network names."""
    with receiving() as receiver:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
            with pytest.raises(Undelivered, match="no public address"):
                post(f"http://{host}:{receiver.url.rpartition(':')[2]}/", Networks(["10.0.0.0/8"]))
        assert [] == receiver.sent


def test_a_name_that_leads_elsewhere_later(resolve: Callable[..., list[str]]) -> None:
    """A name is looked up once for a connection, and the address that was checked is the one that is connected to."""
    with receiving() as receiver:
        asked = resolve(["127.0.0.1"], ["127.0.0.2"])

        assert 204 == post(f"http://h.example:{receiver.url.rpartition(':')[2]}/", Networks(["127.0.0.1/32"]))
    assert ["h.example"] == asked
    assert receiver.sent[0].headers["host"].startswith("h.example:")


def test_each_address_of_a_name_is_checked(resolve: Callable[..., list[str]]) -> None:
    """One address that may not be sent to is enough for a name to be refused; which it is stays with the operator."""
    with receiving() as receiver:
        resolve(["127.0.0.1", "169.254.169.254"])
        with pytest.raises(Undelivered, match=r"^h\.example is no public address"):
            post(f"http://h.example:{receiver.url.rpartition(':')[2]}/")
        assert [] == receiver.sent


def test_http_is_for_named_networks(resolve: Callable[..., list[str]]) -> None:
    """A public address is not sent to in the clear."""
    resolve(["8.8.8.8"])
    with pytest.raises(Undelivered, match="use https"):
        post("http://h.example/", Networks(["127.0.0.0/8"]))


def test_tls_goes_by_the_name(resolve: Callable[..., list[str]], certificate: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """TLS is spoken with the checked address under the URL's name; a certificate of another name is none."""

    async def run(host: str) -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate) as server:
            outlet = Outlet(f"https://{host}:{server.sockets[0].getsockname()[1]}/", HERE, trusting)
            try:
                return await outlet.post(b"{}", HEADERS)
            finally:
                await outlet.close()

    resolve(["127.0.0.1"])

    assert 200 == asyncio.run(run("h.example"))
    with pytest.raises(Undelivered, match="certificate"):
        asyncio.run(run("other.example"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A certificate for h.example and its key, in one file."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "h.example")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("h.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def certificate(pair: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    return context


@pytest.fixture
def trusting(pair: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair))
