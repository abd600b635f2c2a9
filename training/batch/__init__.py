"""The job that writes one list per user or item to files."""

from training.batch.job import SHARD_SIZE, BatchPlan, BatchReport, batch_recommend
from training.batch.shards import BatchRequest

__all__ = ["SHARD_SIZE", "BatchPlan", "BatchReport", "BatchRequest", "batch_recommend"]
