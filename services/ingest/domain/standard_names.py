"""Names that a touchpoint of another system's making is recognised by: Segment's specifications and our own vocabulary."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_COMMERCE: Final = (
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    "Promotion Viewed",
    "Promotion Clicked",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Completed",
    "Order Refunded",
    "Order Cancelled",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
    "Wishlist Product Added to Cart",
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
)
_MESSAGES: Final = (
    "Email Sent",
    "Email Delivered",
    "Email Bounced",
    "Email Opened",
    "Email Link Clicked",
    "Email Marked as Spam",
    "Unsubscribed",
    "Live Chat Conversation Started",
    "Live Chat Conversation Ended",
    "Live Chat Message Sent",
    "Live Chat Message Received",
)
_ACCOUNTS_AND_APPS: Final = (
    "Account Created",
    "Account Deleted",
    "Signed Up",
    "Signed In",
    "Signed Out",
    "Invite Sent",
    "Account Added User",
    "Account Removed User",
    "Trial Started",
    "Trial Ended",
    "Application Installed",
    "Application Opened",
    "Application Updated",
    "Application Backgrounded",
    "Application Crashed",
    "Application Uninstalled",
    "Experiment Viewed",
)
_OURS: Final = (
    "Support Ticket Opened",
    "Support Ticket Updated",
    "Support Ticket Solved",
    "Support Ticket Reopened",
    "Call Completed",
    "Survey Answered",
    "Social Mention Posted",
    "Lead Captured",
    "Lead Stage Changed",
    "Store Visited",
    "Loyalty Card Linked",
    "Consent Changed",
    "Identified",
    "Page Viewed",
    "Screen Viewed",
)

STANDARD_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {name.lower(): name for name in (*_COMMERCE, *_MESSAGES, *_ACCOUNTS_AND_APPS, *_OURS)}
)
"""By their lower-case form."""
