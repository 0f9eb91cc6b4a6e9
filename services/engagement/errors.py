"""What callers of the engagement API are told."""

from libs.kit.errors import Invalid, NotFound, TooManyRequests


class TemplateNotFound(NotFound):
    code = "template_not_found"
    title = "No such template"


class TemplateInvalid(Invalid):
    code = "template_invalid"
    title = "The template is not valid Liquid"


class CampaignNotFound(NotFound):
    code = "campaign_not_found"
    title = "No such campaign"


class PreferenceUnknown(Invalid):
    code = "preference_unknown"
    title = "The page doesn't show this preference"


class TooManyChoices(TooManyRequests):
    code = "too_many_choices"
    title = "Too many choices by this link"


class LinkInvalid(NotFound):
    code = "link_invalid"
    title = "The link doesn't lead anywhere"
