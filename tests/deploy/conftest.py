import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))  # Apache Kafka is started by what is there
