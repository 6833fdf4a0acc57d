"""The one factory of outbound TLS contexts."""

import ssl
from functools import cache


@cache  # reading the authorities' certificates takes long, and a caller may wait for it
def outbound_context(*, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Make a verifying client context that speaks TLS 1.3; a vendor that can't gets 1.2 by name.

    Source: privacy policy, section 5 ("Data in transit uses TLS 1.3").
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = minimum
    return context
