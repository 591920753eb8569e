"""Models of R and of Spark, deployed and answering, where R, or PySpark and Java, are installed."""

import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from inferline.errors import InputError
from serving_adapter.client.deployers import pyspark, r

needs_r = pytest.mark.skipif(
    shutil.which("Rscript") is None, reason="R is not installed (apt-get install r-base-core)"
)
needs_spark = pytest.mark.skipif(
    find_spec("pyspark") is None or shutil.which("java") is None,
    reason="PySpark or Java is not installed (inferline[pyspark], apt-get install default-jre-headless)",
)


@pytest.fixture(scope="module", autouse=True)
def quick_java():
    """Have every JVM begin quickly rather than run quickly, those of replicas too: they inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        yield


@pytest.mark.languages
@needs_r
def test_r(cluster, tmp_path):
    train = "saveRDS(lm(y ~ x, data.frame(x = c(0, 1, 2, 3), y = c(1, 3, 5, 7))), commandArgs(TRUE)[1])"
    subprocess.run(["Rscript", "-e", train, str(tmp_path / "line.rds")], check=True)
    function = tmp_path / "line.R"
    function.write_text("function(model, inputs) predict(model, data.frame(x = unlist(inputs)))\n")
    connection = cluster.connection
    r.create_endpoint(connection, "line", "doubles", function, tmp_path / "line.rds")
    assert cluster.output("line", [4.0]) == pytest.approx(9.0)
    r.deploy_r_model(connection, "line", 2, "doubles", "function(model, inputs) lapply(inputs, rev)", num_replicas=2)
    assert cluster.output("line", [1.0, 2.5]) == [2.5, 1]
    connection.set_model_version("line", 1)
    assert cluster.output("line", [5.0]) == pytest.approx(11.0)
    connection.stop_models(["line"])


def test_files_that_are_missing(cluster, tmp_path):
    with pytest.raises(InputError, match=r"^no file .*none.R$"):
        r.deploy_r_model(cluster.connection, "none", 1, "doubles", tmp_path / "none.R")
    with pytest.raises(InputError, match=r"^no file none.rds$"):
        r.deploy_r_model(cluster.connection, "none", 1, "doubles", "function(model, inputs) inputs", "none.rds")


def test_what_is_no_model_of_spark(cluster):
    with pytest.raises(InputError, match=r"^a dict is no model of pyspark.ml or pyspark.mllib that can be saved$"):
        pyspark.deploy_pyspark_model(cluster.connection, "none", 1, "doubles", len, {})


DEPLOY = """
import sys
from pathlib import Path

from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import SparkSession

from serving_adapter.client import ClipperConnection
from serving_adapter.client.deployers.pyspark import create_endpoint
from serving_adapter.replicas.local import LocalTarget

home, models = sys.argv[1:]
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
model = PipelineModel([SQLTransformer(statement="SELECT 2 * x + 1 AS y FROM __THIS__")])


def predict(spark, model, inputs):
    rows = spark.createDataFrame([(float(each[0]),) for each in inputs], ["x"])
    return [row.y for row in model.transform(rows).collect()]


with ClipperConnection(LocalTarget(Path(home)), folder=models) as connection:
    connection.connect()
    create_endpoint(connection, "slope", "doubles", predict, model, slo_micros=30_000_000)
"""


@pytest.mark.languages
@needs_spark
def test_spark(cluster, tmp_path):
    connection = cluster.connection
    home = cluster.target.folder(connection.cluster_name).parent
    (tmp_path / "deploy.py").write_text(DEPLOY)
    # In a process of its own: a JVM that is started once stays.
    command = [sys.executable, tmp_path / "deploy.py", home, connection._folder.parent]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert cluster.output("slope", [10.0]) == 21.0
    connection.stop_models(["slope"])
