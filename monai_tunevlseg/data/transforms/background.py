"""Transforms that run beside the network, such as those that write files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch
from monai.transforms import Transform

__all__ = ["BackgroundTransform"]

MAX_BYTES = 2**28
"""Holds 80 pictures of 512 x 512, and no volume of some hundred slices."""


class BackgroundTransform(Transform):
    """Applies another transform in threads, and returns items unchanged at once.

    It works in a ``with`` block, whose end waits for all items. The first error of the transform is raised by one of
    the next calls or at the end of the block, and items that were passed before are still processed.

    Args:
        transform: transforms an item; threads call it at the same time.
        num_threads: number of threads, 1 or more.
        max_bytes: maximum bytes of the tensors of unprocessed items. A larger item is processed before it is returned.
    """

    def __init__(
        self, transform: Callable[[dict[Any, Any]], Any], num_threads: int = 2, max_bytes: int = MAX_BYTES
    ) -> None:
        super().__init__()
        self.transform = transform
        self.num_threads = num_threads
        self.max_bytes = max_bytes
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[tuple[Future[Any], int]] = deque()

    def __enter__(self) -> BackgroundTransform:
        """Start the threads."""
        self._pool = ThreadPoolExecutor(self.num_threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all items, and raise the first error of the transform unless the block has raised one itself."""
        pool, pending = self._pool, list(self._pending)
        self._pool = None
        self._pending.clear()
        if pool is not None:
            pool.shutdown()
        if error is None:
            for future, _ in pending:
                future.result()

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Hand an item to the threads, and return it unchanged.

        Raises:
            RuntimeError: when this is called outside a ``with`` block.
            Exception: the error of the transform for an earlier item.
        """
        if self._pool is None:
            raise RuntimeError("BackgroundTransform is called outside a with block, which waits for its threads.")
        size = sum(value.nbytes for value in data.values() if isinstance(value, torch.Tensor))
        self._pending.append((self._pool.submit(self.transform, dict(data)), size))
        while self._pending and (self._pending[0][0].done() or sum(size for _, size in self._pending) > self.max_bytes):
            self._pending.popleft()[0].result()
        return dict(data)
