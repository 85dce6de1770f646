#!/usr/bin/env python3
"""Writes Tests/Fixtures/tokenizers/family.json: small tokenizers in the manner of the Llama
family's, whole as PyPI's `tokenizers` saves them, with lines and the ids that it gives.

    pip install tokenizers
    python3 tokenizer_family.py > ../Fixtures/tokenizers/family.json

Each is trained on the lines of tokenizer_texts.py; then its steps are put around the model as the
model's makers have them. Special tokens in the lines are text, as in hanse.
"""

import json
import sys

from tokenizers import AddedToken, Tokenizer, __version__, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

sys.dont_write_bytecode = True
from tokenizer_texts import lines  # noqa: E402

SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
MARK = "▁"
LLAMA_DECODER = decoders.Sequence(
    [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
     decoders.Strip(" ", 1, 0)])


MORE = """
Сьогодні дощитиме, але потяг до Львова вирушає о 7:45.
Вчера купих три хляба и кило ябълки за 5,20 лв.
Rødgrød med fløde koster 45 kr. på torvet i Aarhus.
Jeg så en blå fjord, og så regnet det i ni dager.
Yöllä satoi lunta, ja järven jää kesti jo hiihtäjän.
Õues on külm, aga jäääärne tee viib meid koju.
Šodien ķirši zied agrāk nekā pērn, ne gluži maijā.
Ąžuolas užaugo aukštesnis už namą, įdomu kodėl.
Ľudia čakajú na vlak, ktorý mešká šesť hodín.
Čez reko vodi star most, širok komaj tri metre.
Đurđa je kupila šećer, žito i čaj za 12,50 €.
Јуче је падала киша, а данас сија сунце изнад Ниша.
Țăranii au strâns grâul înainte să înceapă ploaia.
A manhã começou fria; à noite, porém, ninguém sentiu frio.
L'àvia col·lecciona xilòfons i només en toca un.
Etxe zaharra mendian dago, itsasotik hogei kilometrora.
Tháinig an bád isteach ar maidin, agus bhí gaoth láidir ann.
Mae'r llyfrgell ar gau heddiw, ond mae'r ysgol ar agor.
Það rignir í dag, en þórður fer samt á sjó.
Trời hôm nay đẹp quá, chúng ta đi Huế nhé?
Besok kami naik kereta ke Yogyakarta pukul 06.30.
இன்று மழை பெய்கிறது, நாளை வெயில் வரும்.
আজ সকালে ১০টায় ট্রেন ছাড়বে।
დღეს თბილისში მზიანი ამინდია.
Այսօր Երևանում արև է, իսկ վաղը՝ անձրև։
امروز هوا خوب است؛ قیمت نان ۵۰۰۰ تومان شد.
ዛሬ አየሩ ጥሩ ነው፤ ነገ ይዘንባል።
Sot bie shi në Tiranë, por nesër do të ketë diell.
Illum ix-xemx qed tiddi fuq il-Belt Valletta, għażiż.
""".strip("\n").split("\n")


def trained(tokens, size, cut=None, normalizer=None, limit=None):
    """The model part of a BPE over scalars, its special and byte tokens first."""
    tokenizer = Tokenizer(models.BPE())
    if cut:
        tokenizer.pre_tokenizer = cut
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=tokens, show_progress=False,
        **({"limit_alphabet": limit} if limit else {}))
    tokenizer.train_from_iterator(lines(1200, seed=3, line_ends=True), trainer)
    return json.loads(tokenizer.to_str())["model"]


def build(model, normalizer=None, cut=None, decoder=None, added=(), **settings):
    bare = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": model | settings}
    tokenizer = Tokenizer.from_str(json.dumps(bare))
    if normalizer:
        tokenizer.normalizer = normalizer
    if cut:
        tokenizer.pre_tokenizer = cut
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.add_tokens(list(added))
    tokenizer.encode_special_tokens = True
    return tokenizer


def main():
    joined = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    # Without cuts, so that merges reach over words; with few letters, so that bytes are needed.
    spm = trained(SPECIALS + BYTES, 700, normalizer=joined, limit=90)
    words = trained(SPECIALS + BYTES, 700, cut=pre.Metaspace(MARK, "first"), limit=90)
    bare = trained(SPECIALS, 420, cut=pre.Metaspace(MARK, "always"), limit=70)
    fallback = {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    tool = [AddedToken("<tool>", normalized=False), AddedToken("<Tool Call>", normalized=True)]
    digits = pre.Sequence([pre.Metaspace(MARK, "first"), pre.Digits(individual_digits=True)])
    kinds = {
        # Llama 2, Mistral 7B: blanks are marked before anything else.
        "llama2": build(spm, normalizer=joined, decoder=LLAMA_DECODER, **fallback),
        # The same as newer versions write it.
        "metaspace-first": build(
            spm, cut=pre.Metaspace(MARK, "first", split=False), decoder=LLAMA_DECODER,
            added=tool, **fallback),
        "metaspace-always": build(
            words, cut=pre.Metaspace(MARK, "always", split=True),
            decoder=decoders.Metaspace(MARK, "always"), added=tool, **fallback),
        "metaspace-never": build(
            words, cut=pre.Metaspace(MARK, "never", split=True),
            decoder=decoders.Metaspace(MARK, "never"), **fallback),
        "digits": build(
            words, normalizer=normalizers.NFC(), cut=digits, decoder=LLAMA_DECODER, **fallback),
        # Gemma's manner: marks by the normalizer, nothing before, cut behind blanks.
        "gemma": build(
            spm, normalizer=normalizers.Replace(" ", MARK),
            cut=pre.Split(" ", "merged_with_previous"),
            decoder=decoders.Sequence(
                [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]),
            added=tool, **fallback),
        "unknown": build(bare, cut=pre.Metaspace(MARK, "always"), unk_token="<unk>"),
        "unknown-fused": build(
            bare, cut=pre.Metaspace(MARK, "always"), unk_token="<unk>", fuse_unk=True),
        "dropped": build(bare, normalizer=normalizers.NFD(), cut=pre.Metaspace(MARK, "always")),
        "whole-words": build(
            words, cut=pre.Metaspace(MARK, "first"), ignore_merges=True, **fallback),
        # Runs of digits, then isolated marks, then what is behind a dash.
        "cuts": build(
            spm,
            cut=pre.Sequence([
                pre.Digits(individual_digits=False), pre.Split(",", "isolated"),
                pre.Split("-", "merged_with_next"), pre.Split("/", "removed")]),
            **fallback),
    }
    texts = lines(160, seed=11, line_ends=True) + MORE + [
        "", " ", "  ", "   a", "▁", "▁▁a ▁ b", "<tool>", " <tool> x<tool>y <Tool Call>z",
        "<Tool Call> a", "a <s> b</s>", "<0x0A>\n<0xE2>", "\u0000\ufffd\U0010ffff",
        "1,234,567-89/0 -- //a", "e\u0301\u0323 \u212b \ufb01", "x" * 300, "  " * 40]
    out = []
    for name, tokenizer in kinds.items():
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        decoded = [tokenizer.decode(row, skip_special_tokens=False) for row in ids]
        has_decoder = tokenizer.decoder is not None
        out.append({
            "name": name, "tokenizer": json.loads(tokenizer.to_str()), "ids": ids,
            "texts": decoded if has_decoder else None})
    json.dump(
        {"made_with": f"tokenizers {__version__}", "texts": texts, "tokenizers": out}, sys.stdout,
        separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
