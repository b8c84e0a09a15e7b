"""Adam, updated in one operation, for models with large tables (chapter 11)."""

from __future__ import annotations

from deepfm_helpers._keras import keras


@keras.saving.register_keras_serializable(package="deepfm_helpers")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015), which updates a table in one TensorFlow operation instead of a dozen.

    Each of the dozen reads and writes a whole table, and a model with large tables spends most of a step on them. On
    another backend than TensorFlow, and with `amsgrad`, the update is Keras' own. So are the arguments.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        i = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        used = (variable, self._momentums[i], self._velocities[i])
        handles = [(v.value if isinstance(v, keras.Variable) else v).handle for v in used]
        tf.raw_ops.ResourceApplyAdam(
            **dict(zip(("var", "m", "v"), handles, strict=True)),
            beta1_power=tf.pow(tf.cast(self.beta_1, step.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, step.dtype), step),
            lr=tf.cast(learning_rate, step.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )
