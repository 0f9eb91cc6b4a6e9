"""The providers that come along: those with an adapter of their own, and those that are a mapping file beside this module."""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import yaml

from services.ingest.domain.webhooks.deliveries import Provider
from services.ingest.domain.webhooks.intercom import read_intercom
from services.ingest.domain.webhooks.mail import build_reader
from services.ingest.domain.webhooks.mail_mailgun import read_mailgun
from services.ingest.domain.webhooks.mail_signed import (
    read_mailersend,
    read_mailtrap,
    read_mandrill,
    read_postal,
    read_resend,
    read_sendgrid,
    read_unisender_go,
)
from services.ingest.domain.webhooks.mail_unsigned import (
    read_amazon_ses,
    read_brevo,
    read_mailjet,
    read_postmark,
    read_sparkpost,
)
from services.ingest.domain.webhooks.mappings import CompiledMapping, build_provider, compile_mapping
from services.ingest.domain.webhooks.public_keys import PostalSignature, SendGridSignature, SnsSignature, find_sns_certificate
from services.ingest.domain.webhooks.shopify import HEADERS as SHOPIFY_HEADERS
from services.ingest.domain.webhooks.shopify import read_shopify
from services.ingest.domain.webhooks.signatures import (
    MailgunSignature,
    SharedSecret,
    SignedBody,
    SignedForm,
    StripeSignature,
    SvixSignature,
    UnisenderSignature,
)
from services.ingest.domain.webhooks.stripe import read_stripe
from services.ingest.domain.webhooks.typeform import read_typeform
from services.ingest.domain.webhooks.woocommerce import HEADERS as WOOCOMMERCE_HEADERS
from services.ingest.domain.webhooks.woocommerce import is_ping, read_woocommerce
from services.ingest.domain.webhooks.zendesk import read_zendesk

SHIPPED: Final = ("delighted", "meta_leads", "satismeter", "twilio")

_ZENDESK: Final = SignedBody(
    "X-Zendesk-Webhook-Signature", encoding="base64", timestamp_header="X-Zendesk-Webhook-Signature-Timestamp"
)
_ADAPTERS: Final = (
    Provider("shopify", SignedBody("X-Shopify-Hmac-Sha256", encoding="base64"), read_shopify, SHOPIFY_HEADERS),
    Provider("stripe", StripeSignature(), read_stripe),
    Provider(
        "woocommerce",
        SignedBody("X-WC-Webhook-Signature", encoding="base64"),
        read_woocommerce,
        WOOCOMMERCE_HEADERS,
        is_greeting=is_ping,
    ),
    Provider("zendesk", _ZENDESK, read_zendesk),
    Provider("intercom", SignedBody("X-Hub-Signature", algorithm="sha1", prefix="sha1="), read_intercom),
    Provider("typeform", SignedBody("Typeform-Signature", encoding="base64", prefix="sha256="), read_typeform),
    Provider("amazon_ses", SnsSignature(), read_amazon_ses, find_certificate=find_sns_certificate),
    Provider("brevo", SharedSecret(), build_reader(read_brevo)),
    Provider("mailersend", SignedBody("Signature"), build_reader(read_mailersend)),
    Provider("mailgun", MailgunSignature(), build_reader(read_mailgun)),
    Provider("mailjet", SharedSecret(), build_reader(read_mailjet)),
    Provider("mailtrap", SignedBody("Mailtrap-Signature"), build_reader(read_mailtrap)),
    Provider("mandrill", SignedForm("X-Mandrill-Signature"), build_reader(read_mandrill)),
    Provider("postal", PostalSignature(), build_reader(read_postal)),
    Provider("postmark", SharedSecret(), build_reader(read_postmark)),
    Provider("resend", SvixSignature(), build_reader(read_resend), ("svix-id",)),
    Provider("sendgrid", SendGridSignature(), build_reader(read_sendgrid)),
    Provider("sparkpost", SharedSecret(), build_reader(read_sparkpost)),
    Provider("unisender_go", UnisenderSignature(), build_reader(read_unisender_go)),
)


def load_shipped(name: str) -> dict[str, Any]:
    """A mapping file as plain values."""
    text = files("services.ingest.domain.webhooks").joinpath(f"shipped/{name}.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def _build_shipped(name: str) -> Provider:
    compiled = compile_mapping(load_shipped(name))
    if not isinstance(compiled, CompiledMapping):
        raise ValueError(f"the mapping {name} that came along is wrong: {compiled}")  # noqa: TRY004 - its content is
    return build_provider(name, compiled)


ADAPTERS: Final[Mapping[str, Provider]] = MappingProxyType({provider.name: provider for provider in _ADAPTERS})
MAPPED: Final[Mapping[str, Provider]] = MappingProxyType({name: _build_shipped(name) for name in SHIPPED})


def find_provider(name: str, mapping: CompiledMapping | None) -> Provider | None:
    """An adapter, else the endpoint's own mapping, else a mapping that came along under that name."""
    adapter = ADAPTERS.get(name)
    if adapter is not None:
        return adapter
    return MAPPED.get(name) if mapping is None else build_provider(name, mapping)
