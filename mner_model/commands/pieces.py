"""`mner-model piece-vectors`."""

from pathlib import Path

import click

from mner_model.commands.console import failures, progress, say
from mner_model.commands.options import FILE


@click.command("piece-vectors")
@click.option("--text-encoder", help="Folder or hub name of a pretrained Transformer.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Or a trained tagger with one, in its place.")
@click.option("--train", "train_files", type=FILE, multiple=True, help="Posts whose pieces come first; repeatable.")
@click.option("--posts", "post_files", type=FILE, multiple=True, help="More texts, one a line; repeatable.")
@click.option("--size", type=click.IntRange(1), default=120_000, show_default=True, help="How many pieces are kept.")
@click.option("--dimension", type=click.IntRange(1), default=100, show_default=True, help="Numbers of a vector.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
def piece_vectors(
    text_encoder: str | None,
    checkpoint: Path | None,
    train_files: tuple[Path, ...],
    post_files: tuple[Path, ...],
    size: int,
    dimension: int,
    out: Path,
) -> None:
    """Write small vectors of the pieces of words, taken from a large Transformer, for `train --piece-vectors`."""
    from mner_model.checkpoints.checkpoint import load_checkpoint
    from mner_model.config import ConfigError
    from mner_model.data.lines import read_lines
    from mner_model.data.reader import read_examples
    from mner_model.network.text_encoder import TextEncoder
    from mner_model.text.piece_vectors import write_piece_vectors
    from mner_model.training.piece_reduction import reduced_pieces

    with failures(), progress("reading pieces") as on_progress:
        if (text_encoder is None) == (checkpoint is None):
            raise ConfigError("expected --text-encoder or --checkpoint, one of the two")
        texts = [example.text for file in train_files for example in read_examples(file)]
        texts += [line for file in post_files for line in read_lines(file) if line.strip()]
        if not texts:
            raise ConfigError("expected texts by --train or --posts, whose pieces come first")
        if text_encoder is not None:
            encoder, tokenizer = TextEncoder.pretrained(text_encoder)
        else:
            loaded = load_checkpoint(checkpoint)
            if loaded.preprocessing.pieces is None:
                raise ConfigError(f"--checkpoint {checkpoint}: expected a tagger with the modality text")
            encoder, tokenizer = loaded.model.text, loaded.preprocessing.pieces
        vectors = reduced_pieces(encoder, tokenizer, texts, size, dimension, on_progress)
        write_piece_vectors(out, vectors)
    say(f"wrote {out}: {len(vectors.pieces):,} pieces of {dimension} numbers")
