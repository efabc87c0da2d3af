"""One large image, painted in tiles by the workers of a Dask cluster.

    pip install 'impasto[cluster]'
    python dask_cluster.py photo.jpg painting.jpg result.png

This starts a cluster on this machine. For others, start ``dask scheduler`` and ``dask worker``
there, and give the address of the scheduler, such as tcp://host:8786. Workers receive everything
over the network, so they need no common folder. If a worker dies, the others do its tiles.
"""

import sys

from distributed import LocalCluster

import impasto


def paint_on_cluster(
    content: str, style: str, result: str, workers: int = 2, **settings: object
) -> impasto.Result:
    """Paint an image on ``workers`` processes, save it, and return the result."""
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        painted = impasto.stylize(
            content, style, workers=cluster.scheduler_address, progress=True, **settings
        )
    painted.save(result)
    return painted


if __name__ == "__main__":
    print(paint_on_cluster(*sys.argv[1:4], size=2048, tile=512))
