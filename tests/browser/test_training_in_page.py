"""The training in JavaScript against NumPy and Keras, and the page "Train it in the page" under a reader's hands."""

import json
import re
from itertools import combinations

import keras
import numpy as np
import pytest

from deepfm_helpers import anatomy, models
from deepfm_helpers.features import Feature
from deepfm_helpers.press import train
from deepfm_helpers.press.checkout import HERE

pytestmark = pytest.mark.browser
FOLDER = (HERE.root / train.PLACE).parent
START = {"k": 2, "rate": 0.01, "penalty": 1, "seed": 1}  # with which the page opens
GRADIENT = """([model, batch, share]) => {
  const typed = { ...model, w: Float64Array.from(model.w), V: Float64Array.from(model.V.flat()) };
  const g = FM.gradient(typed, FM.load(window.PLANTED_FM), batch, share);
  return { loss: g.loss, w0: g.w0[0], w: [...g.w], V: [...g.V] };
}"""
STEPS = """([options, steps]) => {
  const run = FM.training(FM.load(window.PLANTED_FM), options);
  const copy = ({ w0, w, V }) => ({ w0, w: [...w], V: [...V] });
  const start = copy(run.model);
  const batches = Array.from({ length: steps }, () => run.step());
  return { start, batches, end: copy(run.model) };
}"""
EPOCHS = """([options, epochs]) => {
  const set = FM.load(window.PLANTED_FM);
  const run = FM.training(set, options);
  const truth = FM.pairTerms(window.PLANTED_FM.truth.V, set);
  return Array.from({ length: epochs }, () => {
    for (let i = 0; i < run.perEpoch; i++) run.step();
    const terms = FM.pairTerms(FM.centred(run.model, set), set);
    return [FM.rmse(run.model, set, set.train), FM.rmse(run.model, set, set.valid),
            FM.correlation(terms, truth), Math.max(...terms.map(Math.abs))];
  });
}"""
LAID = """([vectors, truth]) => FM.laidOn(FM.plane(vectors), truth)"""


@pytest.fixture(scope="module")
def drawn() -> dict:
    text = (FOLDER / "data.js").read_text(encoding="utf-8")
    return json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))


@pytest.fixture(scope="module")
def fm(browser):
    """A tab that has loaded the ratings and the training, and nothing else."""
    page = browser.new_page()
    for name in ("data.js", "fm.js"):
        page.add_script_tag(path=FOLDER / name)
    yield page
    page.close()


def positions(drawn) -> np.ndarray:
    sizes = [len(field["values"]) for field in drawn["fields"]]
    return np.array(drawn["rows"]).T + np.cumsum([0, *sizes[:-1]])


def by_pairs(model: dict, x: np.ndarray, y: np.ndarray, share: float) -> dict:
    """Loss and gradient of a factorization machine, pair by pair, in float64."""
    w, V = np.array(model["w"]), np.array(model["V"])
    found = {"loss": share * (V**2).sum(), "w0": 0.0, "w": np.zeros_like(w), "V": 2 * share * V}
    for row, stars in zip(x, y, strict=True):
        error = model["w0"] + sum(w[i] for i in row) - stars
        error += sum(V[i] @ V[j] for i, j in combinations(row, 2))
        found["loss"] += error**2 / len(x)
        found["w0"] += 2 * error / len(x)
        for i in row:
            found["w"][i] += 2 * error / len(x)
        for i, j in combinations(row, 2):
            found["V"][i] += 2 * error / len(x) * V[j]
            found["V"][j] += 2 * error / len(x) * V[i]
    return found


@pytest.mark.parametrize(("k", "share"), [(1, 0.0), (2, 0.01), (5, 0.3)])
def test_the_gradient_is_that_of_the_loss_pair_by_pair(fm, drawn, k, share):
    rng = np.random.default_rng(k)
    x, y = positions(drawn), np.array(drawn["stars"])
    n = x.max() + 1
    model = {"k": k, "w0": 3.1, "w": rng.normal(size=n).tolist(), "V": rng.normal(size=(n, k)).tolist()}
    batch = rng.choice(len(x), 37, replace=False)
    found = fm.evaluate(GRADIENT, [model, batch.tolist(), share])
    wanted = by_pairs(model, x[batch], y[batch], share)
    assert np.abs(wanted["V"]).min() > 0 or share == 0
    for name, value in wanted.items():
        np.testing.assert_allclose(
            found[name], np.ravel(value) if name in "wV" else value, rtol=1e-10, atol=1e-12
        )


@pytest.fixture
def float64():
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [START, {"k": 8, "rate": 0.1, "penalty": 0, "seed": 5}])
def test_fifty_steps_end_where_those_of_keras_end(fm, drawn, options):
    steps = fm.evaluate(STEPS, [options, 50])
    fields = [Feature(f["name"], "single", f["name"], len(f["values"])) for f in drawn["fields"]]
    share = options["penalty"] / drawn["train"]
    model = models.fm_model(fields, options["k"], table_l2={f.name: share for f in fields})
    constant = anatomy.head(model)[-1].weights[0]
    tables = [anatomy.tables(model, f) for f in fields]

    def split(values) -> list[np.ndarray]:
        rows = np.reshape(values, (sum(f.size for f in fields), -1))
        return np.split(rows, np.cumsum([f.size for f in fields])[:-1])

    constant.assign(np.full(constant.shape, steps["start"]["w0"]))
    for order, name in enumerate("wV"):
        for pair, rows in zip(tables, split(steps["start"][name]), strict=True):
            pair[order].set_weights([np.concatenate([np.zeros_like(rows[:1]), rows])])  # row 0 is no value
    model.compile(keras.optimizers.Adam(options["rate"]), "mse")
    ids, stars = np.array(drawn["rows"])[..., None] + 1, np.array(drawn["stars"])[:, None]
    for batch in steps["batches"]:
        model.train_on_batch([column[batch] for column in ids], stars[batch])
    moved = 0.0
    np.testing.assert_allclose(steps["end"]["w0"], np.ravel(constant)[0], atol=1e-4)
    for order, name in enumerate("wV"):
        for pair, rows in zip(tables, split(steps["end"][name]), strict=True):
            np.testing.assert_allclose(rows, pair[order].get_weights()[0][1:], atol=1e-4)
            moved = max(moved, np.abs(rows).max())
    assert moved > 0.2


def test_an_epoch_takes_every_training_row_once_in_an_order_that_the_seed_fixes(fm, drawn):
    both = [fm.evaluate(STEPS, [START, 24])["batches"] for _ in range(2)]
    assert both[0] == both[1]
    first, second = (np.concatenate(both[0][i : i + 12]) for i in (0, 12))
    assert sorted(first) == sorted(second) == list(range(drawn["train"]))
    assert first.tolist() != second.tolist()
    other = fm.evaluate(STEPS, [START | {"seed": 2}, 12])
    assert other["batches"] != both[0][:12]


@pytest.mark.parametrize("k", [2, 6])
def test_points_are_laid_on_the_truth_by_a_turn_and_a_mirror_alone(fm, k):
    rng = np.random.default_rng(k)
    truth = rng.normal(size=(20, 2)) * [2.0, 1.0]
    basis = np.linalg.qr(rng.normal(size=(k, k)))[0][:2]
    for mirror in (1, -1):
        found = fm.evaluate(LAID, [(truth * [1, mirror] @ basis).tolist(), truth.tolist()])
        np.testing.assert_allclose(found, truth, atol=1e-6)


# What the page says of its experiments, for several seeds.


@pytest.fixture(scope="module")
def trained(fm):
    done = {}

    def trained(seed: int, **options) -> np.ndarray:
        """Errors on training rows and rows held out, correlation, and largest pair term, for each of 200 epochs."""
        key = (seed, *options.items())
        if key not in done:
            done[key] = np.array(fm.evaluate(EPOCHS, [START | options | {"seed": seed}, 200]))
        return done[key]

    return trained


every_seed = pytest.mark.parametrize("seed", [1, 2, 3])


@every_seed
def test_a_small_rate_is_still_on_its_way_and_a_large_one_never_rests(trained, seed):
    first, small, large = (trained(seed, rate=rate) for rate in (0.01, 0.001, 0.3))
    assert np.ptp(first[120:, 1]) < 0.02
    assert small[199, 1] < small[149, 1] - 0.01
    assert small[199, 1] > first[199, 1]
    assert np.ptp(large[120:, 0]) > 0.05
    assert (large[:, :2] > first[29, :2]).all()


@every_seed
def test_longer_vectors_overfit_and_a_penalty_repairs_most_of_it(trained, drawn, seed):
    free, held = trained(seed, k=16, penalty=0), trained(seed, k=16, penalty=3)
    lowest = free[:, 1].argmin()
    assert free[199, 0] < drawn["noise"] / 2
    assert lowest < 15
    assert free[199, 1] > free[lowest, 1] + 0.3
    assert free[199, 2] < free[lowest, 2] - 0.2
    assert held[199, 1] - free[lowest, 1] < 0.1 * (free[199, 1] - free[lowest, 1])


@every_seed
def test_a_little_penalty_helps_and_a_large_one_leaves_the_weights_alone(trained, seed):
    errors = {penalty: trained(seed, penalty=penalty)[199] for penalty in (0, 1, 10, 30)}
    assert errors[1][1] < errors[0][1]
    assert (errors[1][:2] < errors[10][:2]).all()
    assert (errors[10][:2] < errors[30][:2]).all()
    assert errors[1][3] > errors[10][3] > 0.1
    assert errors[30][3] < 0.001


def test_another_seed_arrives_at_nearly_the_same_errors_and_finds_the_vectors_again(trained):
    ends = np.array([trained(seed)[199] for seed in (1, 2, 3)])
    assert np.ptp(ends[:, :2], axis=0).max() < 0.01
    assert ends[:, 2].min() > 0.9


# The page.


@pytest.fixture
def page(visit):
    with visit("book/train.html") as page:
        yield page
        assert page.problems == []


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def facts(page) -> dict[str, str]:
    terms, texts = (page.locator(f"#train {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(terms, texts, strict=True))


def status(page) -> str:
    return page.locator(".train-status").inner_text()


def wait_for_epoch(page, least: int) -> None:
    page.wait_for_function(f"parseFloat(document.querySelector('.train-facts dd').textContent) >= {least}")


def test_a_training_runs_pauses_goes_on_by_steps_and_starts_again(page):
    before = facts(page)
    assert before["epoch"] == "0 of 200"
    button(page, "Train").click()
    wait_for_epoch(page, 2)
    assert status(page) == "Training."  # it does not read out every epoch
    assert button(page, "One step").is_disabled()
    button(page, "Pause").click()
    paused = facts(page)
    told = re.fullmatch(r"Paused after (\d+) epochs: training rows (\S+) stars, .*", status(page))
    assert paused["epoch"] == f"{told[1]} of 200"
    assert paused["error, training rows"] == f"{told[2]} stars"
    page.wait_for_timeout(300)
    assert facts(page) == paused
    for _ in range(12):
        button(page, "One step").click()
    assert facts(page)["epoch"] == f"{int(told[1]) + 1} of 200"
    assert page.locator(".train-curves .train-before").count() == 0
    button(page, "Start again").click()
    assert facts(page) == before
    assert page.locator(".train-curves .train-before").count() == 1


@pytest.mark.parametrize("hand", ["finger", "keyboard"])
def test_other_hands_train_too(visit, hand):
    with visit("book/train.html", has_touch=True, viewport={"width": 390, "height": 844}) as page:
        for name in ("Train", "Pause"):
            control = button(page, name)
            control.tap() if hand == "finger" else control.press("Enter")
            if name == "Train":
                wait_for_epoch(page, 1)
        assert status(page).startswith("Paused after")


def test_it_ends_where_its_numbers_say_and_asks_for_little_motion(visit, trained):
    with visit("book/train.html", reduced_motion="reduce") as page:
        page.evaluate("""() => {
          const epoch = document.querySelector(".train-facts dd");
          window.seen = [];
          new MutationObserver(() => window.seen.push(epoch.textContent)).observe(epoch, { childList: true });
        }""")
        page.locator("#train-penalty").select_option("3")
        page.locator("#train-seed").fill("2")
        button(page, "Train").focus()
        page.keyboard.press("Space")
        page.wait_for_function("document.querySelector('.train-status').textContent.startsWith('Finished')")
        assert page.evaluate("[...new Set(window.seen)]") == [f"{n} of 200" for n in (0, 50, 100, 150, 200)]
        ends = trained(2, penalty=3)[199]
        told = facts(page)
        assert told["error, training rows"] == f"{ends[0]:.3f} stars"
        assert told["error, rows held out"] == f"{ends[1]:.3f} stars"
        assert told["pair terms, learned and true"] == f"correlation {ends[2]:.2f}"
        assert button(page, "Train").is_disabled()
        assert button(page, "Start again").evaluate("button => button === document.activeElement")


@pytest.mark.parametrize(("name", "value"), [("rate", "0.1"), ("k", "8"), ("penalty", "10")])
def test_another_setting_starts_again_also_in_the_middle_of_a_run(page, name, value):
    button(page, "Train").click()
    wait_for_epoch(page, 1)
    page.locator(f"#train-{name}").select_option(value)
    assert facts(page)["epoch"] == "0 of 200"
    page.wait_for_timeout(200)
    assert facts(page)["epoch"] == "0 of 200"
    assert button(page, "Train").is_enabled()


@pytest.mark.parametrize("typed", ["", "-1", "1.5"])
def test_a_seed_that_is_none_becomes_one(page, typed):
    field = page.locator("#train-seed")
    field.fill(typed)
    field.press("Tab")
    assert field.input_value() == "1"


def test_every_vector_is_on_the_map_beside_its_true_one(page, drawn):
    n = sum(len(field["values"]) for field in drawn["fields"])
    assert page.locator(".train-map .train-learned").count() == n
    assert page.locator(".train-map .train-true").count() == n
    page.locator("#train-penalty").select_option("100")
    page.locator("#train-k").select_option("1")
    for x, y in page.locator(".train-map circle.train-learned").evaluate_all(
        "all => all.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
    ):
        assert max(abs(x), abs(y)) <= 150


def test_paper_shows_the_figure(page):
    figure = page.locator("figure.train-static")
    assert figure.is_hidden()
    page.emulate_media(media="print")
    assert figure.is_visible()
    assert page.locator("#train").is_hidden()


def test_without_scripts_the_page_shows_the_figure(visit):
    with visit("book/train.html", java_script_enabled=False) as page:
        assert page.locator("figure.train-static").is_visible()
        assert page.locator("#train").is_hidden()


def test_no_other_page_loads_the_training(html):
    loads = re.compile("<script[^>]*train/fm.js")
    pages = [path for path in html.rglob("*.html") if loads.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in pages] == ["train.html"]
