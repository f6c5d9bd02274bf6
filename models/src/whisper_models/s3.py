"""Objects of S3 and of what speaks like it: their addresses, signed requests and error codes.

The signer is AWS' own and brings nothing along; botocore is four times as large, and the small ones in Python have
one author each or ask for a newer Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

DEFAULT_REGION = "us-east-1"

EXPIRED_OR_MISPLACED = frozenset(
    {"ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError"}
)
"""Codes that come with HTTP 400 and mean the credentials, or the region that the signature was made for."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def object_url(bucket: str, key: str, *, region: str = DEFAULT_REGION, endpoint: str | None = None) -> str:
    """endpoint: of a server other than AWS'. The bucket is in the path, which every one of them understands."""
    base = endpoint or f"https://s3.{region}.amazonaws.com"
    # What a signature is made of: every byte but the unreserved ones and the slashes between.
    return f"{base.rstrip('/')}/{bucket}/{quote(key, safe='/-._~')}"


def signer(credentials: Credentials, region: str = DEFAULT_REGION) -> Callable[[str], dict[str, str]]:
    """Makes the headers that sign a GET of an address (AWS Signature Version 4). Ranges are not part of what is signed."""
    from awscrt import auth, http

    provider = auth.AwsCredentialsProvider.new_static(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )

    def sign(url: str) -> dict[str, str]:
        parts = urlsplit(url)
        request = http.HttpRequest("GET", parts.path, http.HttpHeaders([("host", parts.netloc)]))
        settings = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=provider,
            region=region,
            service="s3",
            # Of all services S3 alone takes paths as they are.
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        signed = auth.aws_sign_request(request, settings).result()
        return {name: value for name, value in signed.headers if name.lower() != "host"}

    return sign


def error_code(body: bytes) -> str | None:
    """The word for programs in an S3 server's error, such as NoSuchKey."""
    found = _CODE.search(body)
    return found[1].decode() if found else None
