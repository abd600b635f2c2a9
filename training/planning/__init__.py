"""The job that writes a push plan."""

from training.planning.job import PlanReport, PlanRequest, write_plan

__all__ = ["PlanReport", "PlanRequest", "write_plan"]
