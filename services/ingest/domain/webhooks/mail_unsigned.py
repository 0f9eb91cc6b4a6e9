"""Mail providers without a signature of their own (Postmark, Brevo, Mailjet, SparkPost), and Amazon SES, which SNS signs."""

from typing import Final

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.domain.webhooks.mail import (
    Events,
    MailEvent,
    as_tags,
    as_word,
    each_object,
    read_json_text,
    write_touchpoints,
)
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.public_keys import is_sns_url
from services.ingest.domain.webhooks.values import Object, as_instant, as_list, as_object, as_text, first, pick

# Postmark

_POSTMARK_KINDS: Final = {
    "Delivery": ("delivered", None),
    "Open": ("opened", None),
    "Click": ("clicked", None),
    "SpamComplaint": ("complained", "spam"),
    "Bounce": ("bounced", "bounced"),
}
_POSTMARK_BOUNCES: Final = {
    "Transient": ("deferred", None),
    "DnsError": ("deferred", None),
    "SoftBounce": ("bounced", "bounced"),
    "HardBounce": ("bounced", "bounced"),
    "BadEmailAddress": ("bounced", "invalid"),
    "Blocked": ("bounced", "blocked"),
    "SpamNotification": ("complained", "spam"),
    "SpamComplaint": ("complained", "spam"),
    "VirusNotification": ("bounced", "other"),
    "ManuallyDeactivated": ("rejected", "blocked"),
    "Unsubscribe": ("unsubscribed", "unsubscribed"),
    "Subscribe": ("subscribed", None),
    "AutoResponder": ("autoresponded", None),
    "AddressChange": ("autoresponded", None),
    "ChallengeVerification": ("autoresponded", None),
    "SMTPApiError": ("failed", "other"),
    "InboundError": ("failed", "other"),
    "TemplateRenderingFailed": ("failed", "other"),
}
_POSTMARK_SUPPRESSIONS: Final = {
    "HardBounce": ("bounced", "bounced"),
    "SpamComplaint": ("complained", "spam"),
    "ManualSuppression": ("unsubscribed", "unsubscribed"),
}


def read_postmark(payload: object, _delivery: Delivery) -> Events:
    event = as_object(payload)
    name = as_text(event.get("RecordType")) or "unknown"
    kind, reason = _POSTMARK_KINDS.get(name, ("unknown", None))
    if name == "Bounce":
        kind, reason = _POSTMARK_BOUNCES.get(as_text(event.get("Type")) or "", ("bounced", "other"))
    elif name == "SubscriptionChange":
        stopped = event.get("SuppressSending") is True
        cause = as_text(event.get("SuppressionReason")) or ""
        kind, reason = _POSTMARK_SUPPRESSIONS.get(cause, ("unsubscribed", "unsubscribed")) if stopped else ("subscribed", None)
    return [
        MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(first(event.get("Email"), event.get("Recipient"))),
            message_id=as_text(event.get("MessageID")),
            event_id=as_text(event.get("ID")),
            timestamp=as_instant(first(*(event.get(at) for at in ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")))),
            reject_reason=reason,
            description=as_word(event.get("Description")),
            mta_response=as_word(event.get("Details")),
            click_url=as_text(event.get("OriginalLink")),
            user_agent=as_text(event.get("UserAgent")),
            ip=as_text(pick(event, "Geo", "IP")),
            subject=as_text(event.get("Subject")),
            tags=as_tags(event.get("Tag")),
            metadata=as_object(event.get("Metadata")),
        )
    ]


# Brevo

_BREVO_KINDS: Final = {
    "request": ("queued", None),
    "delivered": ("delivered", None),
    "hard_bounce": ("bounced", "bounced"),
    "soft_bounce": ("bounced", "bounced"),
    "blocked": ("rejected", "blocked"),
    "spam": ("complained", "spam"),
    "complaint": ("complained", "spam"),
    "invalid_email": ("bounced", "invalid"),
    "error": ("failed", None),
    "deferred": ("deferred", None),
    "opened": ("opened", None),
    "unique_opened": ("opened", None),
    "proxy_open": ("opened", None),
    "unique_proxy_open": ("opened", None),
    "click": ("clicked", None),
    "unsubscribe": ("unsubscribed", None),
    "unsubscribed": ("unsubscribed", None),
}


def read_brevo(payload: object, _delivery: Delivery) -> Events:
    """Its `id` is the webhook's, and its texts of times are in the account's zone: only `ts_epoch` and the like are times."""
    for event in each_object(payload):
        name = as_text(event.get("event")) or "unknown"
        kind, reason = _BREVO_KINDS.get(name, ("unknown", None))
        tag = as_text(event.get("tag"))
        yield MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(event.get("email")),
            message_id=as_text(event.get("message-id")),
            timestamp=as_instant(first(event.get("ts_epoch"), event.get("ts_event"), event.get("ts"))),
            reject_reason=reason,
            mta_response=as_word(event.get("reason")),
            click_url=as_text(event.get("link")),
            user_agent=as_text(event.get("user_agent")),
            ip=as_text(event.get("ip")),
            subject=as_text(event.get("subject")),
            campaign_id=as_text(first(event.get("camp_id"), event.get("campaign_id"))),
            tags=as_tags(first(event.get("tags"), as_list(read_json_text(tag)) or None, event.get("tag"))),
            metadata=as_object(read_json_text(event.get("X-Mailin-custom"))),
        )


# Mailjet

_MAILJET_KINDS: Final = {
    "sent": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "blocked": "rejected",
    "spam": "complained",
    "unsub": "unsubscribed",
}
_MAILJET_REASONS: Final = {
    "user unknown": "bounced",
    "mailbox inactive": "bounced",
    "quota exceeded": "bounced",
    "blacklisted": "blocked",
    "spam reporter": "spam",
    "invalid domain": "bounced",
    "no mail host": "bounced",
    "relay/access denied": "bounced",
    "typofix": "invalid",
    "content blocked": "blocked",
    "policy issue": "blocked",
    "spam content": "spam",
    "preblocked": "blocked",
    "duplicate in campaign": "other",
}


def read_mailjet(payload: object, _delivery: Delivery) -> Events:
    for event in each_object(payload):
        name = as_text(event.get("event")) or "unknown"
        kind = _MAILJET_KINDS.get(name, "unknown")
        if name == "bounce" and event.get("hard_bounce") is False:
            kind = "deferred"
        error = as_text(event.get("error"))
        yield MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(event.get("email")),
            message_id=as_text(event.get("MessageID")),
            timestamp=as_instant(event.get("time")),
            reject_reason=_MAILJET_REASONS.get(error.lower(), "other") if error is not None else None,
            description=as_word(first(event.get("comment"), event.get("error"))),
            mta_response=as_word(event.get("smtp_reply")),
            click_url=as_text(event.get("url")),
            user_agent=as_text(event.get("agent")),
            ip=as_text(event.get("ip")),
            campaign_id=as_text(event.get("mj_campaign_id")) if event.get("mj_campaign_id") != 0 else None,
            tags=as_tags(event.get("customcampaign")),
            metadata=as_object(read_json_text(event.get("Payload"))),
        )


# SparkPost

_SPARKPOST_KINDS: Final = {
    "injection": "queued",
    "delivery": "delivered",
    "bounce": "bounced",
    "out_of_band": "bounced",
    "delay": "deferred",
    "spam_complaint": "complained",
    "policy_rejection": "rejected",
    "generation_rejection": "rejected",
    "generation_failure": "failed",
    "open": "opened",
    "initial_open": "opened",
    "amp_open": "opened",
    "amp_initial_open": "opened",
    "click": "clicked",
    "amp_click": "clicked",
    "list_unsubscribe": "unsubscribed",
    "link_unsubscribe": "unsubscribed",
}
_SPARKPOST_CLASSES: Final = {
    "1": "other",
    "10": "invalid",
    "25": "blocked",
    "30": "bounced",
    "50": "blocked",
    "51": "spam",
    "52": "spam",
    "53": "blocked",
    "54": "blocked",
    "90": "unsubscribed",
}
_SPARKPOST_BY_CLASS: Final = {"60": "autoresponded", "80": "subscribed", "90": "unsubscribed"}


def read_sparkpost(payload: object, _delivery: Delivery) -> Events:
    """Each event lies in `msys` under the name of its group; an empty one is a ping."""
    for outer in each_object(payload):
        for group in as_object(outer.get("msys")).values():
            yield _read_sparkpost_event(as_object(group))


def _read_sparkpost_event(event: Object) -> MailEvent:
    name, bounce_class = as_text(event.get("type")) or "unknown", as_text(event.get("bounce_class"))
    kind = _SPARKPOST_KINDS.get(name, "unknown")
    if kind == "bounced":
        kind = _SPARKPOST_BY_CLASS.get(bounce_class or "", kind)
    campaign = as_text(event.get("campaign_id"))
    return MailEvent(
        name=name,
        event_type=kind,
        recipient=as_text(first(event.get("raw_rcpt_to"), event.get("rcpt_to"))),
        message_id=as_text(event.get("transmission_id")),
        event_id=as_text(event.get("event_id")),
        timestamp=as_instant(event.get("timestamp")),
        reject_reason=None if bounce_class is None else _SPARKPOST_CLASSES.get(bounce_class, "other"),
        mta_response=as_word(first(event.get("raw_reason"), event.get("reason"))),
        click_url=as_text(event.get("target_link_url")),
        user_agent=as_text(event.get("user_agent")),
        ip=as_text(event.get("ip_address")),
        subject=as_text(event.get("subject")),
        campaign_id=campaign,
        tags=as_tags(campaign),
        metadata=as_object(event.get("rcpt_meta")),
    )


# Amazon SES

_SES_KINDS: Final = {
    "Send": "sent",
    "Delivery": "delivered",
    "Bounce": "bounced",
    "Complaint": "complained",
    "Reject": "rejected",
    "Open": "opened",
    "Click": "clicked",
    "Rendering Failure": "failed",
    "DeliveryDelay": "deferred",
    "Subscription": "unsubscribed",
}
_SES_REASONS: Final = {"bounced": "bounced", "complained": "spam", "rejected": "blocked"}
_SES_MEMBERS: Final = {"Rendering Failure": "failure", "DeliveryDelay": "deliveryDelay"}
_NO_MESSAGE: Final = Refusal(Reason.INVALID, "the body is no message of SNS")


def read_amazon_ses(delivery: Delivery) -> Reading | Refusal:
    """The envelope is SNS's; what it confirms is fetched only from SNS itself."""
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    kind, url = as_text(pick(payload, "Type")), as_text(pick(payload, "SubscribeURL"))
    if kind == "SubscriptionConfirmation":
        return Reading(ignored=[kind], confirm_url=url) if url is not None and is_sns_url(url) else _NO_MESSAGE
    if kind != "Notification":
        return Reading(ignored=[kind or "unknown"])
    event = read_json_text(pick(payload, "Message"))
    return write_touchpoints(read_ses_event(as_object(payload), as_object(event)))


def read_ses_event(envelope: Object, event: Object) -> Events:
    name = as_text(first(event.get("eventType"), event.get("notificationType"))) or "unknown"
    kind, mail = _SES_KINDS.get(name, "unknown"), as_object(event.get("mail"))
    details = as_object(event.get(_SES_MEMBERS.get(name, name.lower())))
    if name == "Subscription" and pick(details, "newTopicPreferences", "unsubscribeAll") is not True:
        kind = "unknown"
    headers = [as_object(header) for header in as_list(mail.get("headers"))]
    said = {as_text(header.get("name")): header.get("value") for header in headers}
    for recipient, response in _find_ses_recipients(name, mail, details):
        yield MailEvent(
            name=name,
            event_type=kind,
            recipient=recipient,
            message_id=as_text(mail.get("messageId")),
            event_id=as_text(envelope.get("MessageId")),
            timestamp=as_instant(first(envelope.get("Timestamp"), details.get("timestamp"), mail.get("timestamp"))),
            reject_reason=_SES_REASONS.get(kind),
            description=_describe_ses(name, details),
            mta_response=response,
            click_url=as_text(details.get("link")),
            user_agent=as_text(details.get("userAgent")),
            ip=as_text(details.get("ipAddress")),
            subject=as_text(first(pick(mail, "commonHeaders", "subject"), said.get("Subject"))),
            tags=[header["value"] for header in headers if header.get("name") == "X-Tag" and header.get("value") is not None],
            metadata=as_object(read_json_text(said.get("X-Metadata"))),
        )


def _find_ses_recipients(name: str, mail: Object, details: Object) -> list[tuple[str | None, str | None]]:
    """Whom the event is about, and what their server said. A mail to several has one event for all of them."""
    if name in ("Bounce", "Complaint"):
        people = as_list(details.get("bouncedRecipients" if name == "Bounce" else "complainedRecipients"))
        return [(as_text(pick(one, "emailAddress")), as_word(pick(one, "diagnosticCode"))) for one in people]
    response = as_word(details.get("smtpResponse"))
    recipients = as_list(details.get("recipients")) if name == "Delivery" else as_list(mail.get("destination"))
    return [(as_text(recipient), response) for recipient in recipients] or [(None, response)]


def _describe_ses(name: str, details: Object) -> str | None:
    if name == "Bounce":
        return ": ".join(word for word in map(as_text, (details.get("bounceType"), details.get("bounceSubType"))) if word)
    return as_word(first(details.get("complaintFeedbackType"), details.get("reason"), details.get("errorMessage")))
