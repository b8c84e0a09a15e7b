"""What the task rmse changes in the full model of chapter 11, one thing at a time, on validation rows."""

LENGTHS = (4, 8, 16, 32, 64)
CHANGES = {
    "64 components": {"history": {"components": 64}},
    "500 components": {"history": {"components": 500}},
    "release year": {"describe": {"fields": ("uid", "mid", "gender", "age", "occupation", "genre", "year")}},
    "five lengths of stretches": {
        "stretches": {"lengths": LENGTHS},
        "penalty": {f"stretch_{length}": 80.0 for length in LENGTHS},
    },
    "k = 40": {"model": {"k": 40}},
    "a network of 128 and 64 units": {"model": {"dnn_dim": (128, 64)}},
    "dropout 0.2": {"model": {"dnn_dr": 0.2}},
    "one penalty for all tables": {
        "penalty": {"uid": 20.0, "mid": 20.0, "fields": 20.0, "first_order": 20.0, "deep": 1e-4}
    },
    "penalties × 1.4": {"penalty": {"times": 1.4}},
    "no averaging": {"training": {"averaging": 0.0}},
    "falling rate instead of averaging": {
        "training": {"averaging": 0.0, "schedule": "cosine", "learning_rate": 6e-3}
    },
    "half the rate": {"training": {"learning_rate": 0.005}},
    "half the rate, penalties × 2": {"training": {"learning_rate": 0.005}, "penalty": {"times": 2.0}},
    "twice the rate": {"training": {"learning_rate": 0.02}},
    "half the batch, longer average": {"training": {"batch_size": 4096, "averaging": 0.9975}},
    "twice as many epochs": {"training": {"epochs": 20}},
    "twice as many epochs, longer average": {"training": {"epochs": 20, "averaging": 0.998}},
}
"""From what is changed to the sections of `recipes.FULL` that change."""
