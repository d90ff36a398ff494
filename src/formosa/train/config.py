"""The `train:` part of a recipe: every setting of a training, and what can't go together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Beta = Annotated[float, Field(ge=0, lt=1)]


class LoraConfig(BaseModel):
    """Low-rank adapters on linear layers; the weights of the base stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="Width of the adapter: more room to learn, more memory")
    alpha: float = Field(32, gt=0, description="Scale of the adapter; usually twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs left out")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear", description="Layers that get adapters: all linear ones, or names like q_proj"
    )
    start: str | None = Field(
        None,
        description="An adapter to begin with: a GGUF file, a run, or one of `formosa models ls`; "
        "null: fresh ones",
    )

    @model_validator(mode="after")
    def _some_targets(self) -> Self:
        if not self.targets:
            raise ValueError("targets names no layer: write all-linear, or names like q_proj")
        return self


class ParallelConfig(BaseModel):
    """How several processes share a training; one process ignores it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["auto", "ddp", "fsdp", "deepspeed-2", "deepspeed-3"] = Field(
        "auto",
        description="Whole copies (ddp), or weights and optimizer in shards; auto: fsdp for all "
        "weights on several GPUs, otherwise ddp",
    )
    reshard: bool = Field(
        True, description="fsdp: gather weights again for the backward pass; false: more memory"
    )
    offload: bool = Field(
        False, description="Keep the shards in the machine's memory: slow, for what fits no GPU"
    )
    timeout_minutes: int = Field(
        30, ge=1, description="How long a process waits for the others before all give up"
    )


class TrainConfig(BaseModel):
    """How a model is trained.

    A sequence is a row, or with `packing` or `share_prefix` several rows that share `max_tokens`
    without seeing each other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Literal["sft", "cpt"] = Field(
        "sft",
        description="Conversations, of which the assistant's words are learnt; or documents, of "
        "which every word is (continued pre-training)",
    )
    method: Literal["lora", "full", "qlora"] = Field(
        "lora", description="Adapters, all weights, or adapters on a base held in 4 bits (GPU)"
    )
    lora: LoraConfig = LoraConfig()
    family: Literal["auto", "chatml", "llama3", "gemma"] = Field(
        "auto", description="Control tokens of conversations; auto: those the vocabulary holds"
    )
    embeddings: Literal["auto", "train", "freeze"] = Field(
        "auto", description="Token embeddings; auto: trained with all weights, frozen with adapters"
    )

    learning_rate: float = Field(1e-3, gt=0, description="Peak rate; full tuning wants 10× less")
    schedule: Literal["cosine", "linear", "constant", "stable"] = Field(
        "cosine",
        description="How the rate goes from its peak to its end; stable: it stays, and falls in a "
        "line over the last `decay_share` of the steps, so that a long training may end earlier",
    )
    decay_share: float = Field(
        0.2, gt=0, le=1, description="Share of the steps in which `stable` falls"
    )
    final_rate: float = Field(0.0, ge=0, le=1, description="Share of the peak at the last step")
    warmup_steps: int = Field(5, ge=0, description="Steps of linear rise to the peak")
    weight_decay: float = Field(0.0, ge=0, description="Not of norms, biases and embeddings")
    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999), description="Memory of AdamW's two averages; 0.9, 0.95 for long runs"
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")

    epochs: float = Field(1.0, gt=0, description="Passes over the rows")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many steps at the latest")
    rows_per_step: int = Field(
        8, ge=1, description="Sequences whose gradients make one step, over all processes"
    )
    rows_at_once: int = Field(
        4, ge=1, description="Sequences computed together in a process, of like length"
    )
    packing: bool = Field(False, description="Several rows in one sequence, unseen by each other")
    share_prefix: bool = Field(
        False,
        description="Rows that begin alike (the same tools) in one sequence that has their "
        "beginning once; the gradients are those of the rows alone",
    )
    max_tokens: int = Field(1024, ge=16, description="Longest sequence, in tokens")
    overlong: Literal["raise", "drop", "split"] = Field(
        "raise", description="What happens to longer rows; they are never cut inside a turn"
    )
    thinking: Literal["keep", "drop"] = Field(
        "keep",
        description="Reasoning of earlier turns; drop: one sample for each turn of the assistant",
    )

    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="Of the weights in computation; what is trained has float32 copies"
    )
    activation_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: a third more time"
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = Field(
        "auto", description="auto: flash attention where it is installed on a GPU, otherwise sdpa"
    )
    compile: bool = Field(
        False, description="torch.compile: half a minute to begin, then faster; needs g++"
    )
    head_tokens: int = Field(
        4096, ge=1, description="Positions scored at once: bounds the memory of the vocabulary"
    )
    parallel: ParallelConfig = ParallelConfig()

    seed: int = Field(7, ge=0, description="Order of the rows, and the adapter's first values")
    save_every: int = Field(10, ge=1, description="Steps between checkpoints to continue from")
    keep: int = Field(2, ge=1, description="Checkpoints to continue from that are kept")
    measure_every: int = Field(25, ge=1, description="Steps between measurements on held-out rows")
    measure_rows: int = Field(8, ge=0, description="Held-out rows asked for their exact calls")
    measure_tokens: int = Field(96, ge=8, description="Longest reply in that measurement")
    best: Literal["none", "loss", "exact_call"] = Field(
        "none", description="Which measured checkpoint is exported; none: the last one"
    )
    report_to: tuple[Literal["tensorboard", "trackio"], ...] = Field(
        (), description="Other places for the curves, beside train/log.jsonl"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        for impossible, sentence in (
            (
                self.rows_per_step % self.rows_at_once != 0,
                f"rows_per_step ({self.rows_per_step}) is no multiple of rows_at_once "
                f"({self.rows_at_once})",
            ),
            (
                self.max_steps is not None and self.warmup_steps >= self.max_steps > 1,
                f"warmup_steps ({self.warmup_steps}) leaves nothing of max_steps "
                f"({self.max_steps})",
            ),
            (
                self.schedule == "constant" and self.final_rate not in (0.0, 1.0),
                f"final_rate: {self.final_rate} says where the rate ends, but schedule: constant "
                "keeps the peak",
            ),
            (
                self.packing and self.share_prefix,
                "packing and share_prefix both say which rows share a sequence: choose one",
            ),
            (
                self.share_prefix and self.attention not in ("auto", "sdpa"),
                f"share_prefix needs sdpa attention, not {self.attention}",
            ),
            (
                self.share_prefix and self.objective == "cpt",
                "share_prefix is about conversations; objective: cpt learns every word",
            ),
            (
                self.method == "full" and self.lora.start is not None,
                "lora.start is an adapter to begin with; method: full trains none",
            ),
            (
                self.method == "qlora" and self.precision == "float32",
                "method: qlora computes in bfloat16; precision: float32 needs lora or full",
            ),
            (
                self.method != "full" and self.embeddings == "train",
                f"method: {self.method} leaves the embeddings as they are; embeddings: train "
                "needs method: full",
            ),
            (
                self.attention.startswith("flash") and self.precision == "float32",
                f"attention: {self.attention} computes in bfloat16; precision: float32 needs sdpa",
            ),
            (
                self.objective == "cpt" and self.best == "exact_call",
                "best: exact_call needs conversations; objective: cpt has best: loss",
            ),
            (
                self.objective == "cpt" and self.thinking == "drop",
                "thinking: drop is about conversations; objective: cpt learns every word",
            ),
            (
                self.best == "exact_call" and self.measure_rows == 0,
                "best: exact_call asks held-out rows, but measure_rows is 0",
            ),
        ):
            if impossible:
                raise ValueError(sentence)
        return self
