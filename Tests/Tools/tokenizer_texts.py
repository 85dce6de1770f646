"""Lines that make tokenizers disagree: many scripts, emoji, code, odd white space, odd Unicode."""

import random

SENTENCES = """
Die Werkstatt liegt am Fluß, und über der Tür hängt seit 1887 ein grünes Schild.
Können Sie mir bitte sagen, wann der nächste Zug nach Lübeck fährt? – Um 17:43 Uhr.
Les élèves ont mangé des pâtes à l'école; c'était « très bon », d'après Noël.
Où est-ce qu'on achète 3,5 kg de pommes à 2,99 € le kilo aujourd'hui ?
El niño añadió azúcar; ¿cuánta? ¡Muchísima! Costó 1.234,56 pesos.
Mañana iremos al río, aunque la previsión anuncia lluvia y 12 °C.
Perché l'università chiude così presto? Non c'è più nessuno nell'aula 204.
Gli gnocchi al pomodoro dell'anno scorso erano buonissimi, vero?
's Morgens vroeg fietst zij naar het ijsbaantje; 't is koud, maar 'n mooie dag.
De geïnteresseerde reiziger vroeg zich af of er nog één kaartje over was.
Zażółć gęślą jaźń, powiedział Łukasz i wyjął 25 złotych z kieszeni.
W Gdańsku pada śnieg od trzech dni, a prom odpływa o 6:05.
Příliš žluťoučký kůň úpěl ďábelské ódy v 9. patře.
Árvíztűrő tükörfúrógép, 48-as méret, raktáron.
På fredag åker vi till Ålesund; båten går klockan 8.
Şişli'de yağmur yağıyor, İstanbul'un ışıkları ıslak.
Съешь же ещё этих мягких французских булок, да выпей чаю № 5.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία — 7 φορές.
השועל המהיר קפץ מעל הכלב, בשעה 12:30.
يا لَها مِن لَيلةٍ جَميلة، وصلنا الساعة ٩:٤٥.
आज सुबह १२ बजे बारिश हुई, क्या आप आएँगे?
วันนี้อากาศดีมาก ราคา ๕๐ บาท
今日は天気がいいですね。３時に駅で会いましょう。
我们明天去北京，火车票553元，第１２车。
오늘은 날씨가 좋네요. 커피 두 잔에 9,000원입니다.
It's we've they'll I'm you'd he're don't DON'T IT'S WE'VE o'clock rock'n'roll
def walk(tree, depth=0):\treturn [walk(t, depth + 1) for t in tree.children]  # 2 spaces
for (int i = 0; i < 10; ++i) { sum += a[i] * 0x1F; } // done!!
#include <stdio.h>\tint main(void) { printf("%5.2f\\n", 3.14159); return 0; }
SELECT name, COUNT(*) FROM users WHERE age >= 18 AND email LIKE '%@example.org';
https://example.org/path/to/page.html?query=1&lang=de#top user@example.net
{"key": [1, 2.5, -3e10, null, true], "nested": {"a": "b\\u00e9"}}
$ grep -rnE '^[a-z]+[0-9]{2,}$' . | sort -u | head -n 20 > out.txt 2>&1
<|endoftext|> <|im_start|>user this is not a token<|im_end|> <|eot_id|>[INST]
x² + y³ = z⁴, ½ cup, Ⅷ century, ① first, 10⁻⁹ m, ٠١٢ १२३ 〇
CamelCaseName HTTPServerError iPhone McDonald ÀÉÎ ÉcoleSupérieure ǅungla ǲ ʰello
e\u0301te\u0301 n\u0303 A\u030a \u1112\u1161\u11ab \u212b \u2126 \ufb01ne \u1e9b\u0323
👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️‍🔥 1️⃣ 2️⃣ 🙂🙃 (╯°□°)╯︵ ┻━┻ ¯\\_(ツ)_/¯
'ſ it'ſ 'S 'T 'RE 'Ve 'lL 'D 'x ''s '' ' 's't're
""".strip("\n").split("\n")

SPACES = [
    " ",
    "  ",
    "   ",
    "\t",
    "\t\t",
    " \t ",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\u200b",
    "\u2028",
    "\u0085",
    "\r",
    "\v",
    "\f",
    " \u00a0 ",
    "\u202f",
    "\ufeff",
    "\u180e",
    "\u1680",
]
PIECES = [
    "a",
    "Z",
    "ab",
    "the",
    "The",
    "THE",
    "1",
    "12",
    "1234567",
    "٣",
    "²",
    "Ⅷ",
    ".",
    "...",
    "!?",
    "-",
    "_",
    "'",
    "'s",
    "'LL",
    "\u2019s",
    "(",
    "}",
    "//",
    "/",
    "é",
    "e\u0301",
    "ß",
    "ſ",
    "Ж",
    "日本",
    "한국",
    "ไทย",
    "עִ",
    "😀",
    "👍🏽",
    "\u0301",
    "\u200d",
    "\ud7ff",
    "\ufffd",
    "\U0010ffff",
    "\x00",
    "\x7f",
    "ǅ",
    "ʰ",
    "ª",
    "𝒜",
    "𞤀",
    "𑄶",
]


def lines(count, seed=20240229, line_ends=False):
    """`count` lines, the sentences first; the rest is drawn from a seed."""
    chance = random.Random(seed)
    result = [unescape(sentence) for sentence in SENTENCES]
    spaces = SPACES + (["\n", "\n\n", "\r\n", " \n ", "\n  "] if line_ends else [])
    while len(result) < count:
        kind = chance.randrange(5)
        if kind == 0:  # pieces and white space
            parts = [
                chance.choice(chance.choice([PIECES, spaces]))
                for _ in range(chance.randrange(1, 30))
            ]
            text = "".join(parts)
        elif kind == 1:  # two sentences cut and joined
            one, two = unescape(chance.choice(SENTENCES)), unescape(chance.choice(SENTENCES))
            text = (
                one[chance.randrange(len(one)) :]
                + chance.choice(spaces)
                + two[: chance.randrange(len(two))]
            )
        elif kind == 2:  # any scalars
            text = "".join(chr(scalar(chance)) for _ in range(chance.randrange(1, 12)))
        elif kind == 3:  # runs
            text = "".join(
                chance.choice(PIECES + spaces) * chance.randrange(1, 9) for _ in range(5)
            )
        else:  # a sentence with its white space changed
            text = "".join(
                chance.choice(spaces) if c == " " else c for c in unescape(chance.choice(SENTENCES))
            )
        result.append(text if line_ends else text.replace("\n", " "))
    return result[:count]


def unescape(text):
    for code in (
        "0301",
        "0303",
        "030a",
        "0323",
        "1112",
        "1161",
        "11ab",
        "212b",
        "2126",
        "fb01",
        "1e9b",
    ):
        text = text.replace("\\u" + code, chr(int(code, 16)))
    return text.replace("\\t", "\t")


def scalar(chance):
    while True:
        value = chance.choice(
            [
                chance.randrange(0x80),
                chance.randrange(0x800),
                chance.randrange(0x3000),
                chance.randrange(0x10000),
                chance.randrange(0x10000, 0x20000),
                chance.randrange(0x110000),
            ]
        )
        if not 0xD800 <= value < 0xE000 and value != 10:
            return value
