"""Learn this computer, then see where a network's time goes and whether the prediction holds.

    python examples/profile_and_predict.py --minutes 3

The profile is saved under the name 'local' and used again by the next run.
"""

import argparse

import keras

import fdi_keras as fdi
from fdi_keras.errors import ProfileNotFoundError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of the campaign, if there is no profile")
    parser.add_argument("--side", type=int, default=96, help="of the image that the network reads")
    arguments = parser.parse_args()

    try:
        profile = fdi.load_profile("local")
    except ProfileNotFoundError:
        print(f"timing operators on this computer for {arguments.minutes:g} minutes ...")
        profile = fdi.profile_device(minutes=arguments.minutes)
    print("held-out error:", ", ".join(f"{kind} {error:.1%}" for kind, error in profile.mape.items()))

    shape = (arguments.side, arguments.side, 3)
    network = keras.applications.MobileNetV2(
        shape, alpha=0.5, weights=None
    )  # time does not depend on weights
    report = fdi.predict_latency(network, profile)
    slowest = sorted(report.operators, key=lambda row: -(row.predicted_ms or 0.0))[:5]
    for row in slowest:
        print(f"{row.predicted_ms:8.4f} ms  {row.kind:<16}  {row.name}\n             {row.rule}")

    measured = fdi.measure_latency(network, threads=profile.runtime.threads)
    print(f"predicted {report.total_ms:.3f} ms ({report.coverage:.0%} covered), measured {measured}")


if __name__ == "__main__":
    main()
