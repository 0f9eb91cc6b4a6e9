"""What the profile service counts of its own; consumer, HTTP and database figures come with the libraries."""

from libs.kit.metrics import counter, gauge

PROFILES = gauge("profile_profiles", "Profiles, by the database's own estimate.")
PROFILES_CREATED = counter("profile_profiles_created_total", "Profiles that began.")
VERSIONS = counter("profile_versions_total", "Changes of profiles, by what made them.", ("cause",))
MERGES = counter("profile_merges_total", "Profiles that became part of another.")
REFUSALS = counter("profile_refusals_total", "Identifiers that gave way, by reason.", ("reason",))
EPOCHS_OPENED = counter("profile_epochs_opened_total", "Devices found to be shared.")
PROBES = counter("profile_probes_total", "Records published again because a reader waits for facets.")
SPLITS = counter("profile_splits_total", "Identifiers that were split off.")
