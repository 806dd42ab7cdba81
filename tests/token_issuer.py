"""An issuer of tokens on 127.0.0.1, by OpenID Connect Discovery 1.0, RFC 7517 and RFC 7519."""

import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "cost-sentry"


def coded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value):
    return coded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Serves its configuration and its keys, unless it is down. Counts the reads of its keys."""

    def __init__(self):
        self.keys, self.reads, self.down = {}, 0, False
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                pages = {"/.well-known/openid-configuration": issuer.configuration, "/keys": issuer.key_set}
                page = pages.get(self.path)
                self.send_response(503 if issuer.down else 200 if page else 404)
                self.end_headers()
                if page and not issuer.down:
                    self.wfile.write(json.dumps(page()).encode())

            def log_message(self, *_):
                """A test needs no lines on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def configuration(self):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "id_token_signing_alg_values_supported": ["RS256"]}

    def key_set(self):
        self.reads += 1
        public = {kid: key.public_key().public_numbers() for kid, key in self.keys.items()}
        return {
            "keys": [
                {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": number(each.n), "e": number(each.e)}
                for kid, each in public.items()
            ]
        }

    def new_key(self, kid):
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, kid="1", key=None, **claims):
        """A signed token. A claim that is None is left out."""
        now = int(time.time())
        standard = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + 300}
        claims = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        head = {"alg": "RS256", "typ": "JWT", "kid": kid}
        message = ".".join(coded(json.dumps(part).encode()) for part in (head, claims))
        signature = (key or self.keys[kid]).sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{message}.{coded(signature)}"
