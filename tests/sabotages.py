"""The list of sabotages that the tests have to notice; `mutants` applies them, one at a time, to a copy of the project.

A sabotage replaces one passage of one file. Its check is what could notice: a test file or a test, as pytest names it;
"stored outputs" and a notebook, which is run again and compared; or "record" and a notebook, whose record may be stale.
"""

from typing import NamedTuple


class Sabotage(NamedTuple):
    """A small wrong change.

    Attributes:
        name: what goes wrong, in a sentence without its full stop.
        file: path below the root of the project.
        old: text that occurs once in the file.
        new: text that takes its place.
        check: what could notice, see above.
    """

    name: str
    file: str
    old: str
    new: str
    check: str


LAYERS = "deepfm_helpers/layers.py"
MODELS = "deepfm_helpers/models.py"
FEATURES = "deepfm_helpers/features.py"
EVALUATION = "deepfm_helpers/evaluation.py"
RANKING = "deepfm_helpers/ranking.py"
RECOMMENDING = "deepfm_helpers/recommending.py"
TRAINING = "deepfm_helpers/training.py"
FETCHING = "deepfm_helpers/fetching.py"
OWN = "tests/test_own.py"

NETWORK = "tests/test_models.py::test_float32_models_stay_close_to_float64"
PENALTIES = "tests/test_models.py::test_a_wide_field_has_weights_and_no_vectors"
LABS = "book/_static/labs.js"
IN_LABS = "tests/browser/test_labs.py::"
JAVASCRIPT = "tests/browser/test_live_page.py::test_javascript_keras_and_numpy_agree_on_every_term"
LEDGER = "tests/test_notebooks.py::test_the_ledger_is_that_of_the_stored_chapters"

SABOTAGES = (
    # the model
    Sabotage(
        "The pair formula loses its ½",
        LAYERS,
        "return 0.5 * ops.sum(",
        "return ops.sum(",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The pair formula adds up the vectors of all rows of a batch",
        LAYERS,
        "square_of_sum = ops.square(ops.sum(vectors, axis=1))",
        "square_of_sum = ops.square(ops.sum(vectors, axis=(0, 1)))",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The mean of a multi-hot field counts its padding",
        LAYERS,
        "return total / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)",
        "return ops.mean(slots * mask, axis=1, keepdims=True)",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The vector of the padding enters a sum",
        LAYERS,
        "total = ops.sum(slots * mask, axis=1, keepdims=True)",
        "total = ops.sum(slots, axis=1, keepdims=True)",
        "tests/test_layers.py",
    ),
    Sabotage(
        "Id 1 is taken for padding",
        LAYERS,
        "ops.cast(ids > 0, dtype)",
        "ops.cast(ids > 1, dtype)",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The first id beyond a table is let through",
        LAYERS,
        "(values >= layer.input_dim)",
        "(values > layer.input_dim)",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The penalty of a batch is not divided by its rows",
        LAYERS,
        "self.add_loss(self.l2 * squares / ops.cast(ops.shape(ids)[0], squares.dtype))",
        "self.add_loss(self.l2 * squares)",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The penalty of a batch counts outside training too",
        LAYERS,
        "        if training:\n",
        "        if True:\n",
        "tests/test_layers.py",
    ),
    Sabotage(
        "The constant of the score starts at 0 instead of the mean",
        LAYERS,
        "initializer=keras.initializers.Constant(self.start)",
        'initializer="zeros"',
        "tests/test_layers.py",
    ),
    Sabotage(
        "The score goes through a sigmoid",
        MODELS,
        '(score) if task == "click" else score',
        "(score)",
        NETWORK,
    ),
    Sabotage(
        "A probability goes through the sigmoid twice",
        MODELS,
        "(score) if task",
        '(layers.Activation("sigmoid")(score)) if task',
        "tests/test_models.py::test_a_model_of_clicks_is_one_sigmoid_of_the_same_sum_of_parts",
    ),
    Sabotage(
        "A model of clicks is trained by squared error",
        "deepfm_helpers/training.py",
        '"click": (keras.losses.BinaryCrossentropy,',
        '"click": (keras.losses.MeanSquaredError,',
        "tests/test_training.py::test_the_derivative_of_the_log_loss_by_the_score_is_p_minus_y_however_sure_the_model_is",
    ),
    Sabotage(
        "The best epoch of clicks is the last one",
        "deepfm_helpers/checkpoints.py",
        'if rows and f"val_{m}" in rows[0]), None)',
        'if rows and f"val_{m}" in rows[0] and m == "rmse"), None)',
        "tests/test_training.py::test_clicks_are_trained_by_their_log_loss_and_the_best_epoch_stays",
    ),
    Sabotage(
        "The network gets vectors of its own instead of those of the pairs",
        MODELS,
        "        embed_2d,\n        dnn_dim,\n",
        "        layers.Concatenate(axis=1)(\n"
        '            _embed(features, inputs, k, "own", numeric_bias, embedding_spread, l2, table_l2)[0]\n'
        "        ),\n        dnn_dim,\n",
        NETWORK,
    ),
    Sabotage(
        "The penalty of a table is left out",
        MODELS,
        "return keras.regularizers.L2(factor) if factor else None",
        "return None",
        PENALTIES,
    ),
    # from files to ids
    Sabotage(
        "The ids of a vocabulary begin at 0",
        FEATURES,
        "enumerate(self.vocabulary, start=1)",
        "enumerate(self.vocabulary)",
        "tests/test_features.py",
    ),
    Sabotage(
        "A missing value takes the id of another value",
        FEATURES,
        "return np.concatenate([self._ids(cells), np.zeros((1, self.slots), np.int32)])[codes]",
        "return self._ids(cells)[codes]",
        "tests/test_fields.py::test_a_missing_value_has_id_0_and_changes_no_other_row",
    ),
    Sabotage(
        "A list of genres that is too long is cut at the other end",
        FEATURES,
        'sequence[-slots:] if truncating == "pre"',
        'sequence[-slots:] if truncating == "post"',
        "tests/test_features.py",
    ),
    Sabotage(
        "Two pairs of values share the id of a cross",
        FEATURES,
        "(left[:, :, None] - 1) * self.parts[1].size",
        "(left[:, :, None] - 1) * (self.parts[1].size - 1)",
        "tests/test_features.py",
    ),
    Sabotage(
        "Ratings are dealt to other rows than their own",
        FEATURES,
        "return [feature.encode(ratings) for feature in features], stars.astype(np.float32)",
        "return [feature.encode(ratings) for feature in features], stars.astype(np.float32)[::-1]",
        "tests/test_features.py",
    ),
    Sabotage(
        "A pair of user and film may be rated twice",
        "deepfm_helpers/datasets.py",
        "if (row := _first(pairs.duplicated())) is not None:",
        "if (row := _first(pairs.duplicated() & False)) is not None:",
        "tests/test_datasets.py::test_a_repeated_pair_is_named",
    ),
    # splits
    Sabotage(
        "A split is the same whatever the seed",
        FEATURES,
        "rng = np.random.default_rng(seed)",
        "rng = np.random.default_rng(0)",
        "tests/test_features.py",
    ),
    Sabotage(
        "A split by user leaves rows of a held-out user behind",
        FEATURES,
        "out = np.isin(codes, order[rows_before < n_held])",
        "out[rng.permutation(n)[:n_held]] = True",
        "tests/test_features.py",
    ),
    Sabotage(
        "A split by time trains on the future",
        FEATURES,
        'kind="stable")[n - n_held :]] = True',
        'kind="stable")[:n_held]] = True',
        "tests/test_features.py",
    ),
    Sabotage(
        "The held-out rows stay among the others",
        FEATURES,
        "return ratings[~out], ratings[out]",
        "return ratings, ratings[out]",
        "tests/test_features.py",
    ),
    Sabotage(
        "The history of the users sees the test rows",
        "deepfm_helpers/history.py",
        "users, films = who_rated_what(train, sizes, components, seed)",
        "users, films = who_rated_what(data.ratings, sizes, components, seed)",
        "tests/test_history.py",
    ),
    Sabotage(
        "A recipe shows its validation rows to the history",
        "deepfm_helpers/recipes.py",
        "_train(recipe, data, _fields(recipe, data, kept), kept,",
        "_train(recipe, data, _fields(recipe, data, rows), kept,",
        "tests/test_recipes.py::test_the_history_of_a_recipe_sees_no_validation_row",
    ),
    # training
    Sabotage(
        "The order of the rows is the same whatever the seed",
        "deepfm_helpers/batches.py",
        "np.random.default_rng([self.seed, self.epoch])",
        "np.random.default_rng([0, self.epoch])",
        "tests/test_training.py::test_every_epoch_sees_every_row_once_in_an_order_of_its_own",
    ),
    Sabotage(
        "Every epoch deals the rows in the same order",
        "deepfm_helpers/batches.py",
        "np.random.default_rng([self.seed, self.epoch])",
        "np.random.default_rng([self.seed])",
        "tests/test_training.py::test_every_epoch_sees_every_row_once_in_an_order_of_its_own",
    ),
    Sabotage(
        "The rows of the last batch are left out",
        "deepfm_helpers/batches.py",
        "return -(-len(self.y) // self.batch_size)",
        "return len(self.y) // self.batch_size",
        "tests/test_training.py::test_every_epoch_sees_every_row_once_in_an_order_of_its_own",
    ),
    Sabotage(
        "Early stopping keeps the last weights instead of the best",
        TRAINING,
        "        for variable, value in self.best:\n",
        "        for variable, value in ():\n",
        "tests/test_training.py::test_early_stopping_restores_the_best_epoch",
    ),
    Sabotage(
        "The best epoch is that of the largest error",
        "deepfm_helpers/checkpoints.py",
        "np.argmin([row[decisive]",
        "np.argmax([row[decisive]",
        "tests/test_training.py::test_early_stopping_restores_the_best_epoch",
    ),
    Sabotage(
        "The running mean of the weights starts at 0",
        "deepfm_helpers/optimizers.py",
        "    def update_step(self, gradient, variable, learning_rate):\n",
        "    def _update_model_variables_moving_average(self, trainable_variables):\n"
        "        for mean, new in zip(self._model_variables_moving_average, trainable_variables, strict=True):\n"
        "            mean.assign(self.ema_momentum * mean + (1 - self.ema_momentum) * new)\n\n"
        "    def update_step(self, gradient, variable, learning_rate):\n",
        "tests/test_training.py::test_averaging_leaves_the_running_mean_of_the_weights",
    ),
    Sabotage(
        "The validation RMSE is not that of the running mean",
        TRAINING,
        "*([keras.callbacks.SwapEMAWeights()] if averaging else [])",
        "*[]",
        "tests/test_training.py::test_averaging_leaves_the_running_mean_of_the_weights",
    ),
    Sabotage(
        "Adam forgets that its first means are small",
        "deepfm_helpers/optimizers.py",
        "beta1_power=tf.pow(tf.cast(self.beta_1, step.dtype), step)",
        "beta1_power=tf.zeros((), step.dtype)",
        "tests/test_training.py::test_fused_adam_takes_the_steps_of_adam",
    ),
    Sabotage(
        "A killed run goes on with other arguments",
        "deepfm_helpers/checkpoints.py",
        "if differences := list(_differences(kept, self.run)):",
        "if differences := []:",
        "tests/test_checkpoints.py::test_a_run_with_other_arguments_is_refused",
    ),
    # what is measured
    Sabotage(
        "The RMSE compares a column with every row",
        EVALUATION,
        "    y, prediction = columns(y=y, prediction=prediction)\n    return float(np.sqrt(",
        "    y, prediction = np.asarray(y, float), np.asarray(prediction, float)\n    return float(np.sqrt(",
        "tests/test_evaluation.py",
    ),
    Sabotage(
        "The offsets of the baseline know the test rows",
        EVALUATION,
        '"user + film offsets": bias_predictions(train, rows),',
        '"user + film offsets": bias_predictions(pd.concat([train, rows]), rows),',
        "tests/test_evaluation.py::test_baselines_equal_a_loop_over_the_rows",
    ),
    Sabotage(
        "The share of a part leaves out what it has in common with the others",
        EVALUATION,
        "np.cov(part, score, ddof=0)[0, 1]",
        "part.var(ddof=0)",
        "tests/test_evaluation.py",
    ),
    Sabotage(
        "An interval of 95% covers 90%",
        EVALUATION,
        "1 - 0.025 / comparisons",
        "1 - 0.05 / comparisons",
        "tests/test_evaluation.py",
    ),
    Sabotage(
        "A Shapley value leaves out the orders in which a part comes last",
        EVALUATION,
        "        for size in range(n):\n",
        "        for size in range(n - 1):\n",
        "tests/test_evaluation.py",
    ),
    Sabotage(
        "nDCG is not divided by that of a perfect list",
        RANKING,
        "(hits @ discount)[some] / ideal[some]",
        "(hits @ discount)[some]",
        "tests/test_ranking.py",
    ),
    Sabotage(
        "Recall is divided by the length of the list",
        RANKING,
        "hits.sum(axis=1)[some] / wanted[some]",
        "hits.sum(axis=1)[some] / lists.shape[1]",
        "tests/test_ranking.py",
    ),
    Sabotage(
        "The place where a list has ended counts as a hit",
        RANKING,
        "np.maximum(lists, 0), axis=1) & (lists >= 0)",
        "np.maximum(lists, 0), axis=1)",
        "tests/test_ranking.py",
    ),
    # lists
    Sabotage(
        "`TwoSides` loses the pairs among the fields of a user",
        "deepfm_helpers/scoring.py",
        "scores += (first * user.first + second * user.own)[:, None]",
        "scores += (first * user.first)[:, None]",
        "tests/test_recommending.py",
    ),
    Sabotage(
        "A list holds films that the user has seen",
        RECOMMENDING,
        "line[films] = -np.inf",
        "line[films] += 0",
        "tests/test_recommending.py",
    ),
    Sabotage(
        "A list holds films that nobody has rated",
        RECOMMENDING,
        "scores[:, self.counts < min_ratings] = -np.inf",
        "scores[:, self.counts < 0] = -np.inf",
        "tests/test_recommending.py",
    ),
    Sabotage(
        "EASE lets a film recommend itself",
        "deepfm_helpers/neighbours.py",
        "np.fill_diagonal(weights, 0.0)",
        "np.fill_diagonal(weights, 1.0)",
        "tests/test_neighbours.py",
    ),
    # files
    Sabotage(
        "The SHA-256 of a download is not compared",
        FETCHING,
        "    _check_hash(form.archive, io.BytesIO(archive), form.hash)\n",
        "",
        "tests/test_fetching.py::test_a_bad_answer_costs_one_line_and_gives_way_to_the_next_address",
    ),
    Sabotage(
        "The SHA-256 of a file in a data folder is not compared",
        FETCHING,
        "_check_hash(str(path), file, expected)",
        '_check_hash(str(path), file, "")',
        "tests/test_fetching.py::test_a_changed_file_in_a_folder_is_refused",
    ),
    Sabotage(
        "An archive writes outside its folder",
        FETCHING,
        '                for file in (*form.files, "README", "README.txt"):\n'
        "                    if form.inside + file in content.namelist():\n"
        "                        (unpacked / file).write_bytes(content.read(form.inside + file))\n",
        "                for file in content.namelist():\n"
        "                    path = unpacked / file.removeprefix(form.inside).lstrip('/')\n"
        "                    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "                    path.write_bytes(content.read(file))\n",
        "tests/test_fetching.py::test_other_entries_of_an_archive_are_never_written",
    ),
    Sabotage(
        "A half-written file stays where a writer failed",
        "deepfm_helpers/files.py",
        "part.unlink(missing_ok=True)",
        "pass",
        "tests/test_saving.py::test_a_save_that_fails_leaves_the_old_one_whole",
    ),
    # notebooks, pages and records
    Sabotage(
        "A claim that does not hold is shown as one that holds",
        "deepfm_helpers/claims.py",
        "    if not holds:\n",
        "    if holds is None:\n",
        "tests/test_chapters.py",
    ),
    Sabotage(
        "A result that is not a number is recorded",
        "deepfm_helpers/records.py",
        "if not math.isfinite(value):",
        "if value is None:",
        "tests/test_chapters.py",
    ),
    Sabotage(
        "The threshold of a claim is loosened",
        "notebooks/strict_reading.ipynb",
        ".max() < 50,",
        ".max() < 500,",
        LEDGER,
    ),
    Sabotage(
        "The expression of a claim is true whatever the run computes",
        "notebooks/strict_reading.ipynb",
        "sum(both) > 0)",
        "len([0]) > 0)",
        "tests/test_notebooks.py::test_the_expression_of_a_claim_names_something_that_the_notebook_made",
    ),
    Sabotage(
        "A claim on recorded numbers passes for one on the numbers of the run",
        "notebooks/gallery.ipynb",
        'abs(shares_without.sum() - 1) < 1e-9,\\n",\n    "    on=\\"records\\",\\n",\n',
        'abs(shares_without.sum() - 1) < 1e-9,\\n",\n',
        "tests/test_notebooks.py::test_a_claim_on_stored_numbers_says_so_and_no_other_does",
    ),
    Sabotage(
        "A result is typed into the prose of a chapter",
        "notebooks/06_deepfm.ipynb",
        "the mean errors of the four models lie close together.",
        "the mean errors of the four models lie within 0.01 stars.",
        "tests/test_prose_numbers.py::test_no_result_is_typed_into_the_prose_of_a_page[06_deepfm]",
    ),
    Sabotage(
        "The ledger forgets a claim",
        "book/ledger.md",
        "1. Every rating is a whole number of stars from 1 to 5.  \n"
        "   `` (data.ratings.rating % data.range[0] == 0).all() "
        "and data.ratings.rating.between(*data.range).all() ``\n",
        "",
        LEDGER,
    ),
    Sabotage(
        "A stored output is edited",
        "notebooks/strict_reading.ipynb",
        "1 661 6 978302109",
        "1 661 5 978302109",
        "stored outputs strict_reading",
    ),
    Sabotage(
        "A figure vanishes from a page",
        "notebooks/one_training.ipynb",
        '"image/svg+xml": [',
        '"application/x-svg": [',
        "tests/test_notebooks.py::test_a_chapter_is_fit_to_be_stored",
    ),
    Sabotage(
        "Nothing reads a parameter of a notebook",
        "notebooks/one_training.ipynb",
        '\\"dnn_dr\\": dropout',
        '\\"dnn_dr\\": 0.0',
        "tests/test_notebooks.py::test_every_parameter_is_typed_documented_checked_and_used",
    ),
    Sabotage(
        "A parameter of a notebook is read and changes no recorded number",
        "notebooks/gallery.ipynb",
        "features.split_rows(data.ratings, 0.1, seed=seed)",
        "features.split_rows(data.ratings, 0.1, seed=1)",
        "tests/test_reruns.py::test_every_parameter_of_a_chapter_moves_a_recorded_number[gallery]",
    ),
    Sabotage(
        "A layer changes, and no record is made again",
        LAYERS,
        "return x + self.w0",
        "return x + 1.0 * self.w0",
        "record one_training",
    ),
    Sabotage(
        "A number of a record is edited",
        "deepfm_helpers/records/one_training.json",
        '"test_rmse": [0.862789,',
        '"test_rmse": [0.872789,',
        "stored outputs gallery",
    ),
    Sabotage(
        "The comparison of stored outputs allows ten times the tolerance of a record",
        "deepfm_helpers/press/comparing.py",
        "return abs(stored - fresh) <= within",
        "return abs(stored - fresh) <= 10 * within",
        "tests/test_comparing.py::test_a_record_that_is_wrong_is_told",
    ),
    Sabotage(
        "A record is confirmed although its run came out differently",
        "deepfm_helpers/sweeps/recording.py",
        "left[name] = again.differences(stored, place, name)",
        "left[name] = []",
        "tests/test_recording.py::test_a_record_that_differs_stays_as_it_is_and_the_others_are_confirmed",
    ),
    Sabotage(
        "The page that computes by itself takes the pairs away from the score",
        "deepfm_helpers/static/live/deepfm.js",
        'sum("first", t.first) + sum("pairs", t.pairs)',
        'sum("first", t.first) - sum("pairs", t.pairs)',
        JAVASCRIPT,
    ),
    Sabotage(
        "The network of that page has no ReLU",
        "deepfm_helpers/static/live/deepfm.js",
        "if (a[i] > 0) for",
        "if (a[i]) for",
        JAVASCRIPT,
    ),
    Sabotage(
        "A checker accepts every answer",
        "deepfm_helpers/grading.py",
        "    if _near(found, right, within):\n        return\n",
        "    return\n",
        "tests/test_exercises.py::test_a_checker_tells_right_from_wrong",
    ),
    Sabotage(
        "A checker lets a reader's function change its numbers",
        "deepfm_helpers/grading.py",
        "function(*copy.deepcopy(arguments))",
        "function(*arguments)",
        "tests/test_exercises.py::test_an_answer_gets_copies",
    ),
    Sabotage(
        "An equation is checked on the case by hand alone",
        "deepfm_helpers/equations.py",
        "_agree(other, first, digits, f",
        "_agree(first, first, digits, f",
        "tests/test_equations.py::test_what_does_not_hold_or_checks_nothing_is_refused",
    ),
    Sabotage(
        "A page does not say that its code has changed",
        "deepfm_helpers/press/provenance.py",
        "if kept and kept != today else shown",
        "if not kept and kept != today else shown",
        "tests/test_provenance.py::test_a_page_whose_code_was_changed_since_says_so_above_the_fold",
    ),
    Sabotage(
        "A question calls every guess right",
        "book/_static/asking.js",
        "const verdict = value === right ?",
        "const verdict = value !== null ?",
        "tests/browser/test_questions.py::test_each_choice_gets_its_sentence_and_only_one_is_right",
    ),
    Sabotage(
        "The training in the page forgets that a vector does not meet itself",
        "book/_static/train/fm.js",
        "pull * (sums[f] - V[i * k + f])",
        "pull * sums[f]",
        "tests/browser/test_training_in_page.py::test_the_gradient_is_that_of_the_loss_pair_by_pair",
    ),
    Sabotage(
        "The lab of genres cuts a long list at its end",
        LABS,
        "known.slice(-places)",
        "known.slice(0, places)",
        IN_LABS + "test_the_places_of_the_post_hold_what_the_helper_puts_there",
    ),
    Sabotage(
        "The lab of single weights multiplies two of them",
        LABS,
        "constant + weight(user) + weight(film)",
        "constant + weight(user) * weight(film)",
        IN_LABS + "test_no_weights_make_two_users_rank_two_films_differently",
    ),
    Sabotage(
        "The lab of the square counts vectors with themselves among the pairs",
        LABS,
        "row.slice(i + 1)",
        "row.slice(i)",
        IN_LABS + "test_sum_of_the_pairs_and_half_the_difference_agree_for_any_vectors",
    ),
    Sabotage(
        "The lab of two vectors has a wrong sign",
        LABS,
        "(squares[0] - squares[1] - squares[2]) / 2",
        "(squares[0] - squares[1] + squares[2]) / 2",
        IN_LABS + "test_dot_product_and_fast_identity_agree_wherever_the_arrows_are",
    ),
    Sabotage(
        "The lab of three signs gives pairs a bend more",
        LABS,
        "(s) => (s * s - 3) / 2",
        "(s) => (s * s * s - 3) / 2",
        IN_LABS + "test_pairs_never_meet_three_signs_and_three_hidden_units_do",
    ),
    Sabotage(
        "The lab of one vector leaves the constant out of the score",
        LABS,
        "sum + table[part][place], constant)",
        "sum + table[part][place], 0)",
        IN_LABS + "test_the_parts_shown_are_those_of_the_scaled_vector",
    ),
    Sabotage(
        "The lab that leaves parts out leaves none out",
        LABS,
        "(kept.has(part) ? adds[i] : 0)",
        "adds[i]",
        IN_LABS + "test_what_is_left_of_a_score_is_the_sum_or_the_model_of_what_is_left",
    ),
    Sabotage(
        "The lab of popularity confuses it with taste",
        LABS,
        "(1 - t) * score + t * Math.log1p(ratings)",
        "t * score + (1 - t) * Math.log1p(ratings)",
        IN_LABS + "test_the_list_shown_is_the_best_of_the_mixture",
    ),
    Sabotage(
        "A row of a table that is too short is filled up",
        "deepfm_helpers/own/files.py",
        "if n_separators != expected or",
        "if",
        OWN,
    ),
    Sabotage(
        "A rare value keeps an id of its own",
        "deepfm_helpers/own/fields.py",
        "if n >= column.rare))",
        "if n >= 1))",
        OWN,
    ),
    Sabotage(
        "The mean and the values of a field come from all rows",
        "deepfm_helpers/own/data.py",
        "OWNERS[part.section], part.name, train[part.name])",
        "OWNERS[part.section], part.name, self.rows[part.name])",
        OWN,
    ),
    Sabotage(
        "The bucket of a value differs from process to process",
        "deepfm_helpers/own/fields.py",
        "digest = hashlib.blake2b(str(value).encode(), digest_size=8).digest()",
        'digest = hash(str(value)).to_bytes(8, "little", signed=True)',
        OWN,
    ),
    Sabotage(
        "The line of an error counts rows, not lines",
        "deepfm_helpers/own/files.py",
        "line = reader.line_num + 1",
        "line += 1",
        OWN,
    ),
    Sabotage(
        "The AUC counts a tie as won or lost",
        "deepfm_helpers/clicks.py",
        "stats.rankdata(score)[",
        'stats.rankdata(score, "ordinal")[',
        "tests/test_clicks.py::test_auc_is_the_share_of_pairs_in_the_right_order",
    ),
    Sabotage(
        "The odds of a sample are corrected in the wrong direction",
        "deepfm_helpers/clicks.py",
        "float(np.log(kept))",
        "-float(np.log(kept))",
        "tests/test_clicks.py::test_the_odds_of_a_sample_become_those_of_all_rows",
    ),
    Sabotage(
        "Every epoch of a stream has the same order",
        "deepfm_helpers/own/streams.py",
        "np.random.default_rng([self.seed, self.epoch])",
        "np.random.default_rng(self.seed)",
        "tests/test_streams.py::test_every_epoch_deals_each_row_once_in_an_order_of_its_own",
    ),
    Sabotage(
        "A stream drops the rows that fill no batch",
        "deepfm_helpers/own/streams.py",
        "        if n:",
        "        if False:",
        "tests/test_streams.py::test_without_a_seed_the_rows_come_back_as_memory_holds_them",
    ),
    Sabotage(
        "The digest of a stream leaves out the rows",
        "deepfm_helpers/own/streams.py",
        "                for column in _arrays(table):",
        "                for column in ():",
        "tests/test_streams.py::test_two_rows_that_change_places_make_another_run",
    ),
    Sabotage(
        "A table beyond memory is described by its test rows, too",
        "deepfm_helpers/own/large.py",
        "self.counted(names or PARTS[:1])",
        "self.counted(PARTS)",
        "tests/test_large.py::test_the_split_and_the_fields_are_those_of_the_rows_in_memory",
    ),
    Sabotage(
        "The mean of a long column depends on the parts in which it comes",
        "deepfm_helpers/own/fields.py",
        "whole = len(waiting) // BLOCK * BLOCK",
        "whole = len(waiting)",
        "tests/test_large.py::test_parts_do_not_change_a_mean_or_a_spread_to_the_last_bit",
    ),
    Sabotage(
        "Many cells that are looked up at once get the ids of their neighbours",
        "deepfm_helpers/own/fields.py",
        "(self._index.get_indexer(cells) + 1)",
        "(self._index.get_indexer(cells) + 2)",
        "tests/test_own.py::test_many_cells_at_once_have_the_ids_of_single_cells",
    ),
    Sabotage(
        "The counts of a long column are those of its last parts",
        "deepfm_helpers/own/fields.py",
        "self._rows = [_together(self._rows)]",
        "self._rows = self._rows[1:]",
        "tests/test_large.py::test_the_split_and_the_fields_are_those_of_the_rows_in_memory",
    ),
    Sabotage(
        "The interval of a lead takes the rows of one user for independent ones",
        "deepfm_helpers/own/judging.py",
        "codes, known = pd.factorize(users)",
        "codes, known = pd.factorize(np.arange(len(users)))",
        "tests/test_own_use.py::test_a_margin_is_a_difference_of_errors_whose_interval_other_users_would_give",
    ),
    Sabotage(
        "A kernel that never answers is the end of a run",
        "deepfm_helpers/press/kernels.py",
        "            if not left:",
        "            if left is not None:",
        "tests/test_reruns.py::test_a_kernel_that_never_answers_is_replaced",
    ),
    Sabotage(
        "Weights are brought to the unit of the ratings, but those of the network are not",
        "deepfm_helpers/own/fitting.py",
        "kernel / np.float32(root)",
        "kernel",
        "tests/test_own_use.py::test_a_factor_on_the_weights_multiplies_the_score_and_each_part",
    ),
    Sabotage(
        "A list forgets what a user has seen besides the training rows",
        "deepfm_helpers/recommending.py",
        "        if seen is not None:",
        "        if False:",
        "tests/test_own_use.py::test_who_has_seen_what_can_be_more_than_the_training_rows",
    ),
    Sabotage(
        "The README names a command that does not exist",
        "README.md",
        "or run `make serve`",
        "or run `make show`",
        "tests/test_map.py::test_the_commands_of_the_readme_exist",
    ),
    Sabotage(
        "A package is installed without a comparison of its hash",
        "Makefile",
        "--require-hashes --requirement constraints.txt",
        "--requirement constraints.txt",
        "tests/test_workflows.py",
    ),
)
