"""Make predictions of a model's scores, as the contract's task says."""

from __future__ import annotations

import time

import numpy as np

from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.confidence import Confidence
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.prediction import Prediction
from fmnist_edge.runtime.tasks import CLASSIFICATION, MULTILABEL, TENSOR, decide, exceeded, probabilities

__all__ = ["Answers"]


class Answers:
    """Scores -> predictions.

    Args:
        confidence: calibrates the probabilities of a classification; None leaves them as the model gives them.
        abstain: whether an answer that `confidence` calls unknown has no label; None as it says itself.

    Raises ArtifactError for a contract that no label can be chosen by, and for a confidence that does not fit it;
    InputError for `abstain` without a confidence.
    """

    def __init__(self, contract: Contract, confidence: Confidence | None, abstain: bool | None) -> None:
        if contract.task == TENSOR:
            raise ArtifactError("the model's task is tensor, so it has no labels; load it with runtime.Model")
        if contract.task == CLASSIFICATION and len(contract.labels) < 2:
            raise ArtifactError(
                "the contract has a single class, which would be every answer; export the model again with "
                "--task binary, or --task tensor for a number"
            )
        if confidence is None:
            if abstain:
                raise InputError(
                    "abstain=True needs a confidence in the manifest, and there is none; "
                    "`fmnist-edge confidence` fits it"
                )
        elif contract.task != CLASSIFICATION:
            raise ArtifactError(f"a confidence is for classification, and the task is {contract.task}; export it again")
        else:
            confidence.check_classes(len(contract.labels))
        self._contract, self._confidence = contract, confidence
        self._abstain = abstain if abstain is not None else confidence is not None and confidence.abstain

    def predictions(self, scores: np.ndarray, batch: np.ndarray, start: int) -> list[Prediction]:
        """Scores float32 (n, score_count) of the images `batch` -> one prediction each.

        `start` is the call's start time in nanoseconds.
        """
        contract, confidence = self._contract, self._confidence
        if confidence is None:
            rows = probabilities(scores, contract)
        else:
            rows = confidence.probabilities(scores, contract.output)
        if contract.task == MULTILABEL:
            return self._multilabel(rows, start)
        chosen = decide(rows, contract).tolist()
        known = [True] * len(rows)
        if confidence is not None and self._abstain:
            known = confidence.known(scores, contract.output, batch).tolist()
        latency, labels = time.perf_counter_ns() - start, contract.labels
        return [
            Prediction(labels[i] if answered else None, i, float(row[i]), row, latency)
            for row, i, answered in zip(rows, chosen, known)
        ]

    def _multilabel(self, rows: np.ndarray, start: int) -> list[Prediction]:
        over = exceeded(rows, self._contract)
        latency, labels = time.perf_counter_ns() - start, self._contract.labels
        found = []
        for row, mask in zip(rows, over):
            likeliest_first = np.argsort(-row, kind="stable").tolist()
            chosen = [index for index in likeliest_first if mask[index]]
            index = (chosen or likeliest_first)[0]
            names = tuple(labels[item] for item in chosen)
            found.append(Prediction(names[0] if names else None, index, float(row[index]), row, latency, names))
        return found
