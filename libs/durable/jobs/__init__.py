"""Long work that outlives the request and the process: queued, leased, resumable from its checkpoint, cancellable, visible."""

from libs.durable.jobs.api import job_accepted, jobs_router
from libs.durable.jobs.fake import FakeJobs
from libs.durable.jobs.model import Job, JobCancelled, JobError, JobLost, JobPaused, Jobs, JobState, Lease
from libs.durable.jobs.runner import JobFunction, JobRunner, RunningJob
from libs.durable.jobs.store import PostgresJobs, create_jobs, drop_jobs, jobs_tables

__all__ = [
    "FakeJobs",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFunction",
    "JobLost",
    "JobPaused",
    "JobRunner",
    "JobState",
    "Jobs",
    "Lease",
    "PostgresJobs",
    "RunningJob",
    "create_jobs",
    "drop_jobs",
    "job_accepted",
    "jobs_router",
    "jobs_tables",
]
