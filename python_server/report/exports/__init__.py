"""A run's figures for other programs: Parquet, TensorBoard, MLflow."""

from python_server.report.exports.mlflow_runs import to_mlflow
from python_server.report.exports.parquet import to_parquet
from python_server.report.exports.tensorboard import to_tensorboard

__all__ = ["to_mlflow", "to_parquet", "to_tensorboard"]
