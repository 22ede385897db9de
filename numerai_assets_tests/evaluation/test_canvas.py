"""The canvas of PNG plots: axes in the shared look, and one typography whatever a plot set."""

from matplotlib.colors import to_hex

from numerai_assets.evaluation.canvas import colour_bar, empty_axes, legend_below, png, side_by_side, titled_axes
from numerai_assets.evaluation.look import INK, LABEL_SIZE, LINE, TICK_SIZE, TITLE_SIZE, shortened


def test_axes_stand_in_reading_order_without_a_frame() -> None:
    figure, axes = empty_axes(2, 3, height=3.0)

    assert axes == figure.axes and len(axes) == 6
    assert not axes[0].spines["top"].get_visible()
    assert to_hex(axes[0].spines["left"].get_edgecolor()) == LINE


def test_titles_labels_and_legends_have_the_shared_sizes() -> None:
    figure, axes = titled_axes("a title")
    axes.plot([1, 2], label="a line")
    axes.set_xlabel("x", fontsize=20)
    legend_below(figure)

    assert png(figure).startswith(b"\x89PNG")

    assert axes.get_title(loc="left") == "a title"
    assert axes.xaxis.label.get_fontsize() == LABEL_SIZE
    (legend,) = figure.legends
    assert [(text.get_fontsize(), text.get_color()) for text in legend.get_texts()] == [(TICK_SIZE, INK)]


def test_a_figure_without_labels_has_no_legend() -> None:
    figure, axes = titled_axes("a title")
    axes.plot([1, 2])
    legend_below(figure)

    assert not figure.legends


def test_panels_side_by_side_have_one_title_and_colour_bars_no_frame() -> None:
    figure, (left, _) = side_by_side("both", 2)

    bar = colour_bar(figure, left.imshow([[0, 1]]), left)

    assert figure.get_suptitle() == "both" and figure.texts[0].get_fontsize() == TITLE_SIZE
    assert not bar.outline.get_visible()  # type: ignore[operator]


def test_long_names_are_cut_with_an_ellipsis() -> None:
    assert shortened("feature", 7) == "feature"
    assert shortened("features", 7) == "feat..."
