"""Training on Apache Spark: what is a sum over users is counted by its executors."""
