"""What callers of the engagement API are told."""

from libs.kit.errors import Conflict, Invalid, NotFound


class TemplateNotFound(NotFound):
    code = "template_not_found"
    title = "No such template"


class TemplateInvalid(Invalid):
    code = "template_invalid"
    title = "The template is not valid Liquid"


class CampaignNotFound(NotFound):
    code = "campaign_not_found"
    title = "No such campaign"


class NameTaken(Conflict):
    code = "id_taken"
    title = "The id is taken"
