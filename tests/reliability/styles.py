"""How models answer: sentences with places for the right letter {L} and words {w}, others {O}, {o}, {list}."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase as LETTERS

PLAIN = r"""
{L} | ({L}) | [{L}] | {L}. | {L}) | {L}: {w} | {L}. {w} | ({L}) {w} | **{L}** | **{L}.** {w} | `{L}` | *{L}* | "{L}"
{L}, {w} | {L} - {w} | {w} ({L})
{w} | {w}. | A {w}. | a {w} | the {w} | It is a {w}. | It's a {w}. | The shape is a {w}. | I see a {w}
This looks like a {w}. | That would be the {w}.
Option {L} | Option {L}. | option ({L}) | Option {L}: {w} | Choice {L} | Letter {L} | Answer {L} | Answer: {L}
Answer: ({L}) {w} | Answer: {w} | **Answer:** {L} | Answer - {L}
The answer is {L} | The answer is {L}. | The answer is ({L}). | The answer is: {L} | The answer is **{L}**.
The correct answer is {L}. {w} | The right answer is option {L}.
The correct option is {L}. | The best choice is {L}. | My answer is {L}. | Final answer: {L} | FINAL ANSWER: {L}
### Answer: {L} | The answer to the question is {L}. | The answer must be {L}.
The correct answer, given the outline, is {L}. | I choose {L}. | I would choose {L} here. | I'd go with {L}.
I pick option {L}. | I'll select {L}. | My choice is {L}. | I think it is {L}. | I believe the answer is {L}.
It is {L}. | It's {L}. | It must be {L}. | That is {L}. | Clearly {L}. | Definitely {L} | Probably {L}. | So {L}.
Hence, {L}. | Therefore, the answer is {L}. | {L} is correct. | {L} is the right answer. | {L} is right.
Option {L} is correct. | ({L}) is the correct answer. | Option {L} matches the picture. | {L} is the answer.
{L} is my answer. | {L} it is. | Based on the picture, {L}. | In the picture there is a {w}, so {L}.
Looking at the picture, I see a {w}, which corresponds to option {L}. | The picture shows a {w}. The answer is {L}.
The object in the picture is a {w}. | The shape shown is {L}.
"""
BOXED = r"""
\boxed{{{L}}} | $\boxed{{{L}}}$ | \boxed{{\text{{{L}}}}} | \boxed{{({L})}} | \boxed{{\textbf{{{L}}}}}
The answer is \boxed{{{L}}}. | \(\boxed{{{L}}}\) | \[\boxed{{{L}}}\] | \boxed{{{L}. {w}}} | \boxed{{\text{{{w}}}}}
\boxed{{{w}}}
<answer>{L}</answer> | <answer>({L}) {w}</answer> | <answer> {w} </answer> | <ANSWER>{L}</ANSWER> | <answer>{L}
<|begin_of_box|>{L}<|end_of_box|> | {{"answer": "{L}"}} | {{"reason": "option {O} is rounder", "answer": "{L}"}}
Final Answer: $\boxed{{{L}}}$
<CONCLUSION>{L}</CONCLUSION> | <think>Perhaps {O}, perhaps {L}.</think>{L}
<think>The answer is {O}. Wait.</think>\boxed{{{L}}} | Perhaps {O}.</think>{L}
<think>It is {O}?</think><answer>{L}</answer> | <thinking>{O} or {L}</thinking>The answer is {L}.
◁think▷{O}? no.◁/think▷{L} | <think></think>{L} | Option {O} is wrong, hence \boxed{{{L}}}.
I first took \boxed{{{O}}}, but finally \boxed{{{L}}}.
"""
ANSWER_FIRST = r"""
The right answer is {L}. Option {O} is wrong, as its outline differs. | Answer: {L}. That rules out option {O}.
It is {L}; option {O} shows a different outline. | The answer is {L}. Many would take option {O} here.
{L}. Option {O} is wrong. | {L}, because {O} is round. | {L} because {O} has no corners. | {L}, not {O}.
{L} rather than {O}. | {L}, since it cannot be {O}. | {L}. {w} fits, {o} does not. | {L} is right and {O} is wrong.
{L}: the {o} would be rounder.
({L}) {w}. ({O}) {o} is not in the picture. | **{L}**. The {o} can be excluded.
Option {L} is correct; option {O} is incorrect. | {L}\n\nOption {O} shows a {o}, which is not what we see.
The answer is {L}, not {O}. | The answer is {L} and not {O}.
It's a {w}, not a {o}. | It is a {w}. A {o} would have another outline. | A {w}; a {o} is different.
The answer is {w}. Some may think of a {o}. | The {w}. The {o} is nowhere to be seen. | I choose {L} over {O}.
I would say {L} instead of {O}.
The answer is {L}. If it were rounder, the answer would be {O}. | {L}. If it were rounder, it would be {O}.
{L}. At first sight one might say {O}. | The answer is {L}. Some people would choose {O}.
{L} fits best. {O} comes second. | Option {L}. The others ({O}) do not match.
Answer: {L}\n\nExplanation: Option {O} is incorrect because its outline is round.
Answer: {L}\nExplanation: {o} would be wrong. | Only {L} matches. {O} does not.
{L} is the only option that fits, whereas {O} is off. | I'd rule out {O}; {L}.
The correct answer is {L}. Option {O} might look right, but has another outline.
"""
REASONED = r"""
Let me look. Option {O} has another outline. The answer is {L}.
The outline has points. {O} is round. So the answer is {L}. | {O} is wrong. {L} is right. | It is not {O}. It is {L}.
It isn't {O}, it is {L}. | Not {O}, but {L}. | Not a {o} but a {w}
First I thought the answer is {O}, but the answer is {L}. | At first glance it is {O}. However, it is {L}.
It looks like {O}. Wait, no. The answer is {L}. | Is it {O}? No. It is {L}. | Is it {O}? No. Is it {L}? Yes.
The answer is {O}. Wait, let me check again. The answer is {L}.
There is {o} and there is {w}.\nSo I choose:\n**{L}**
Step 1: the outline. Step 2: compare with {O}. Step 3: compare with {L}. Answer: {L}
I compared {O} and {L}. The answer is {L}. | Between {O} and {L}, I choose {L}.
{O} is tempting. Still, the answer is {L}. | I can rule out {O}. Therefore {L}.
Option {O} can be eliminated, leaving {L}. | Both {O} and {L} look alike, but the answer is {L}.
Either {O} or {L}. On closer look: {L} | {O} does not match. {L} matches. | The thing is not {o}.\n\n{L}
The thing has another outline than {o}.\n\n({L}) {w} | A {o} has lobes. This one has none, so it is a {w}.
Reasoning: it cannot be {O}.\nAnswer: {L} | Reasoning: options differ.\n\n### Answer\n{L}
Let's think. {O}: round. {L}: pointed. The picture is pointed, thus {L}. | The {o} is excluded, hence the {w}.
Looking at it: {O} no, {L} yes. | {O}? No. {L}? Yes.
Option {O} is a {o} and is not shown. Option {L} is a {w} and is shown. The answer is therefore {L}.
I considered {O}. My final answer is {L}. | The answer cannot be {O}, so it must be {L}.
I do not think it is {O}; I think it is {L}. | None of it looks like {O}. {L}
"""
COPIED = r"""
{list}\nAnswer: {L} | {list}\n\nThe answer is {L}. | {list}\n{L} | {list}\n\n**{L}** | {list}\nI choose ({L}).
{list}\nIt is a {w}. | The options are:\n{list}\nThe picture shows a {w}. | Question: which?\n{list}\nAnswer: {L}. {w}
{inline} Answer: {L} | {inline}. The answer is {L} | {paren}\nAnswer: {L}
{judged}\nThe answer is ({L}). | {judged} | {verdicts} | {verdicts}\nAnswer: {L} | {list}\n{list}\nAnswer: {L}
{L}\n{list} | Answer: {L}\n{list} | We have {words}. The picture shows the {w}. | Among A, B, C and D, {L} is correct.
Of A, B, C and D, the answer is {L}. | {dashed}\nSo the answer is {L}.
{reasons}\nAnswer: {L} | {reasons}\nThe answer is {L}. | {reasons}
"""
LANGUAGES = r"""
答案是{L} | 答案：{L} | 正确答案为 {L} | 选{L}。 | 我选择 {L} | 选项{L} | {F} | （{F}） | 答案是（{L}）。 | 答案为{L}，因为选项{O}是圆的。 | 应该选{L}，而不是{O}。
不是{O}，而是{L}。 | 选项{O}错误，选项{L}正确。 | 故选{L} | 因此，答案是{L}。 | {L}是正确的。 | {L}选项正确 | 本题选{L}。 | 排除{O}，选{L}。 | 正确选项是{L}。
答案应该是{L} | 我认为是{L}。 | 图中的形状是{L}。 | 答：{L} | 【答案】{L} | 首先排除{O}。所以答案是{L}。 | 综上所述，选{L}。
正解は{L}です。 | 答えは{L}です | 答え：{L} | {L}です。 | {L}が正解です。 | {L}を選びます。 | 選択肢{L} | 正しいのは{L}です。 | {O}ではなく{L}です。
{O}は間違いです。{L}が正解です。 | したがって、答えは{L}です。 | 答えは「{L}」です。 | 正解：（{L}） | {L}。{O}は丸いからです。 | {F}です
정답은 {L}입니다 | 정답: {L} | 답은 {L}입니다. | {L}입니다. | {L}가 정답입니다. | {L}를 선택합니다. | 선택지 {L} | {O}가 아니라 {L}입니다.
{O}는 틀렸습니다. {L}가 맞습니다. | 따라서 정답은 {L}입니다. | 제 답은 {L}입니다. | 정답은 ({L}) 입니다. | {L}번 | {L}번이 정답입니다. | 답: {L}
La respuesta es {L}. | La respuesta correcta es la {L}. | Respuesta: {L} | La opción correcta es {L}. | Opción {L}
Elijo {L}. | Es {L}. | {L} es la respuesta correcta. | No es {O}, sino {L}.
La {O} es incorrecta; la respuesta es {L}. | Por lo tanto, la respuesta es {L}. | {L}, porque {O} es redondo.
{L} en lugar de {O}. | Creo que es {L}. | La respuesta es la opción {L}. | Descarto {O}. La respuesta es {L}.
La correcta es {L}.
Die Antwort ist {L}. | Die richtige Antwort ist {L}. | Antwort: {L} | Antwort {L} | Option {L} | Ich wähle {L}.
Es ist {L}. | {L} ist richtig. | {L} ist die richtige Antwort. | Nicht {O}, sondern {L}.
{O} ist falsch, {L} ist richtig. | Die Antwort lautet {L}. | {L}, weil {O} rund ist. | {L} statt {O}.
Daher ist die Antwort {L}. | Ich denke, es ist {L}. | Richtig ist {L}. | Die Lösung ist {L}. | Also {L}.
{O} scheidet aus. Die Antwort ist {L}.
La réponse est {L}. | La bonne réponse est {L}. | La bonne réponse est la {L}. | Réponse : {L} | Réponse: {L}
C'est {L}. | Option {L} | Je choisis {L}. | {L} est la bonne réponse. | Ce n'est pas {O}, c'est {L}.
Pas {O} mais {L}. | {O} est faux ; {L} est juste. | Donc la réponse est {L}. | {L}, car {O} est rond.
{L} plutôt que {O}. | Je pense que c'est {L}. | La réponse correcte est {L}. | J'élimine {O}. La réponse est {L}.
La risposta è {L}. | Risposta: {L} | La risposta corretta è {L}. | Scelgo {L}. | A resposta é {L}. | Resposta: {L}
A alternativa correta é {L}. | Ответ: {L} | Правильный ответ: {L}. | Ответ — {L}. | Het antwoord is {L}.
Antwoord: {L} | Odpowiedź: {L} | Cevap: {L} | Cevap {L} | Đáp án: {L} | Đáp án đúng là {L}. | Jawaban: {L}
الإجابة هي {L} | الجواب: {L} | उत्तर: {L} | सही उत्तर {L} है।
"""
FURTHER = r"""
The answer is {L}, because the outline of {O} is rounder. | I'd say {L}. | I'm going with {L}. | Going with {L}.
My final choice: {L} | My pick would be {L}. | {L} seems right. | {L} would be my answer. | {L} is what I see.
{L} looks right. | I think {L} is the correct option. | I believe it's {L}.
I believe that the correct answer is option {L}. | It should be {L}. | It has to be {L}. | This is {L}.
The correct letter is {L}. | Letter: {L} | Selected option: {L} | The option that matches is {L}.
The matching option is {L}. | The best match is option {L}. | The most appropriate answer is {L}.
The most likely answer is {L}. | Correct answer: {L} | Correct: {L} | Result: {L} | Ans: {L} | ans. {L}
Solution: {L} | Conclusion: {L} | Output: {L} | Response: {L} | A: {L} | Q: Which? A: {L}
**Final Answer**: {L} | {L} | The final answer is $\boxed{{{L}}}$. | Thus the answer is $\mathbf{{{L}}}$.
$\text{{{L}}}$ | \textbf{{{L}}} | \boxed{{ {L} }} | \boxed{{\text{{Option {L}}}}} | \boxed{{\mathrm{{{L}}}}}
answer is {L} | THE ANSWER IS {L} | {L}!! | - {L} | * {L} | > {L} | {L} ✅ | ✅ {L} | {L} (the {w}) | {L}; {w}
{L} = {w} | {L} → {w} | "{L}. {w}" | '{L}' | [{L}] {w} | {{{L}}} | <{L}> | {L}</s> | {L}<|im_end|>
{L}. The {w} is clearly shown. The {o} is not. | {L}. This shape has five points, unlike {O}.
{L}, as opposed to {O}. | {L} and not {O} | It is {L}, definitely not {O}.
Definitely {L}, {O} has the wrong shape. | {L}. ({O} would be a {o}.) | {L}. Note that {O} is a common mistake.
{L}. Do not confuse with {O}. | {L}. While {O} is similar, it lacks points. | {L}. {O} is close but wrong.
Answer: {L}. Reason: the {o} has a different outline. | The answer is {L}. {O} is incorrect.
The answer is {L} since {O} shows a {o}. | The answer is {L}; I considered {O} but the outline differs.
The correct option is {L}. The other option, {O}, is not supported by the picture. | Choose {L}. Reject {O}.
I select {L} because {O} does not fit. | Not {O}. {L}. | Not {O}; the answer is {L}.
{O} can't be right, so it's {L}. | {O} is incorrect, therefore {L}. | {O} is not it. {L} is.
Since it is not {O}, it must be {L}. | I was going to say {O}, but {L} is better.
I would have said {O}, but it's {L}. | Some would say {O}. The answer is {L}.
One might think {O}; however, the answer is {L}. | You may be tempted by {O}. The right one is {L}.
At first I thought {O}. Looking again, {L}. | Initially {O} seemed right, but the answer is {L}.
Hmm, {O}? No, {L}. | {O}... no wait, {L}. | {O}. Wait, actually {L}.
The answer is {O}. No, sorry, the answer is {L}. | Let me check {O}: no. Let me check {L}: yes. So {L}.
Answer: {L} | The options are {words}. I see a {w}. | Answer: ({L}) | ({L})
The picture shows a {w}, so the answer is ({L}). | The answer is {w}.
You gave me four options: {inline}. The correct one is {L}.
We can choose from {words}. The thing in the picture has the outline of a {w}.
Looking at the four options (A, B, C, D), {L} is the best. | Out of A, B, C, and D, I choose {L}.
Options A-D were given; {L} is right. | {judged} | {verdicts} | The thing is a {w}, not a {o}.
I can see a {w} in the picture. | It appears to be a {w}. | That's a {w}! | {w}, obviously. | The shape is {w}.
{w} - the outline has that shape | It's the {w}. | Clearly a {w} rather than a {o}. | A {w}, not a {o}.
There is a {w} and no {o}. | No {o} is visible, only a {w}. | I don't see a {o}; I see a {w}.
The answer is "{w}". | Answer: the {w} | The answer is {L}. | <answer>{L}</answer>
<reasoning>{O} is round</reasoning><answer>{L}</answer>
<SUMMARY>x</SUMMARY><CAPTION>{O}</CAPTION><REASONING>{O} no</REASONING><CONCLUSION>{L}</CONCLUSION>
[THINK]{O}[/THINK]{L} | {{"answer": "{L}", "confidence": 0.9}} | {{'choice': '{L}'}}
{{"thought": "maybe {O}", "final_answer": "{L}"}} | 正确答案是选项{L}。 | 正确答案：{L}。{O}不对。 | 答案应选{L} | 选择{L}选项
选{L}，因为{O}不符合。 | 图中是五角星，因此选择{L}。 | 所以正确答案是{L}，不是{O}。 | {L}。理由：{O}的形状不同。 | {L}项正确 | {L}、因为形状相符 | 我的答案是{L}
最终答案：{L} | 【{L}】 | （{L}）{w} | 答案选{L} | 故本题答案为{L}。 | 排除{O}后，答案是{L}。 | {O}错，{L}对。 | {O}是错误的，正确的是{L}。 | 应该是{L}吧
{L}是对的 | {F}。 | 答案：{F} | 選{L} | 答案是{L}，而不是{O} | 正解は{L} | 正解は「{L}」です。 | 答えは{L}。 | {L}だと思います。 | {L}が正しいです。
{L}を選択します。 | 最も適切なのは{L}です。 | {O}ではありません。{L}です。 | {O}も考えましたが、答えは{L}です。 | 選択肢{L}が正解です。 | 答：{L} | 정답은 {L}.
정답은 {L}번입니다. | 답은 {L} | {L}라고 생각합니다. | {L}이 정답입니다. | {L}를 고르겠습니다. | 올바른 답은 {L}입니다. | {O}는 아닙니다. {L}입니다. | 보기 {L}
La respuesta correcta es: {L} | La opción {L} es la correcta. | La letra {L} | Mi respuesta: {L} | Sería la {L}.
Escojo la opción {L}. | La respuesta es {L}, no {O}. | {L}. La opción {O} no es correcta.
Primero pensé en {O}, pero la respuesta es {L}. | En conclusión, la respuesta es la {L}. | Respuesta final: {L}
Die korrekte Antwort ist {L}. | Die richtige Lösung lautet {L}. | Antwortmöglichkeit {L} | {L} ist korrekt.
{L} stimmt. | Ich entscheide mich für {L}. | Ich würde {L} sagen. | Es handelt sich um {L}.
{L}. {O} ist falsch. | Zuerst dachte ich {O}, aber die Antwort ist {L}. | Nicht {O}, die Antwort ist {L}.
Meine Antwort: {L} | La bonne réponse est : {L} | La réponse correcte est la lettre {L}. | L'option {L}
L'option {L} est correcte. | Il s'agit de {L}. | Je dirais {L}. | {L}. {O} est incorrect.
Ce n'est pas {O} mais {L}. | D'abord j'ai pensé à {O}, mais la réponse est {L}. | Ma réponse : {L}
La risposta corretta è la {L}. | A resposta correta é a letra {L}. | Ответ: {L}. | Правильный ответ — {L}
Правильный вариант: {L} | **Final Answer**\n\n{L} | ## Final Answer\n**{L}**
Therefore, the correct answer is:\n\n**{L}. {w}** | Answer:\n{L} | {L}\nReason: {O} does not match the outline.
Answer: {O}\nCorrection: {L}
Option {O}: a {o}. Not in the picture.\nOption {L}: a {w}. In the picture.\nAnswer: {L}
Options: {inline}\nAnswer: {L}
Question: Which shape is it?\n{list}\nAnswer with the option's letter from the given choices directly.\n{L}
{list}\n\nAnswer: ({L}) | {paren}\n({L}) | {paren}\nThe picture shows a {w}, so the answer is ({L}).
{list}\nThe answer is {w}.
<think>\nIt could be {O}. Or {L}? Let me see. The answer is {O}? No.\n</think>\n\n{L}
<think>{list}</think>\n\nThe answer is {L}. | <think>Answer: {O}</think>\n<answer>{L}</answer> | ```\n{L}\n```
```json\n{{"answer": "{L}"}}\n```
"""
EVERY_LETTER = (
    "ABCD",
    "A B C D",
    "A\nB\nC\nD",
    "A. B. C. D.",
    "The answer is A. The answer is B. The answer is C. The answer is D.",
    "答案是A、B、C、D",
    "heart, star, circle, square",
    "\\boxed{A, B, C, D}",
    "\\boxed{A} \\boxed{B} \\boxed{C} \\boxed{D}",
    "A. heart\nB. star\nC. circle\nD. square",
    "A/B/C/D",
    "All of A, B, C and D",
    "Answer: A B C D",
    "Options A-D",
    "(A)(B)(C)(D)",
    "A and B and C and D are right",
    "B and C are correct.",
    "Answer: A\nAnswer: B\nAnswer: C\nAnswer: D",
    "Perhaps A, perhaps B, perhaps C, perhaps D.",
    "A or B or C or D",
    "I choose A, B, C and D.",
    "<answer>A, B, C, D</answer>",
    "ＡＢＣＤ",
    "Ａ、Ｂ、Ｃ、Ｄ",
    "정답은 A, B, C, D입니다",
    "The answer is either A, B, C, or D.",
    "A heart, a star, a circle or a square.",
    "So A. So B. So C. So D.",
    "Option A, option B, option C, option D",
    "It is A. It is B. It is C. It is D.",
    "A is correct. B is correct. C is correct. D is correct.",
)
FAMILIES = {
    "plain": PLAIN,
    "boxed": BOXED,
    "first": ANSWER_FIRST,
    "reasoned": REASONED,
    "copied": COPIED,
    "languages": LANGUAGES,
    "further": FURTHER,
}


def templates(family: str) -> list[str]:
    return [
        part.strip(" ").replace("\\n", "\n") if part.strip() else part
        for line in FAMILIES[family].strip().splitlines()
        for part in line.split(" | ")
    ]


def written(template: str, options: Sequence[str], place: int, other: int) -> str:
    """A template about the option at ``place``."""
    rows = list(zip(LETTERS, options, strict=False))
    right = LETTERS[place]
    return template.format(
        L=right,
        w=options[place],
        O=LETTERS[other],
        o=options[other],
        F=chr(ord(right) + 0xFEE0),
        list="\n".join(f"{letter}. {word}" for letter, word in rows),
        paren="\n".join(f"({letter}) {word}" for letter, word in rows),
        dashed="\n".join(f"- {letter}: {word}" for letter, word in rows),
        inline=" ".join(f"{letter}. {word}" for letter, word in rows),
        words=", ".join(options[:-1]) + " and " + options[-1],
        judged="\n".join(f"({letter}) {word}: {'yes' if letter == right else 'no'}" for letter, word in rows),
        verdicts="\n".join(
            f"{letter}. {word} - {'correct' if letter == right else 'incorrect'}" for letter, word in rows
        ),
        reasons="\n".join(
            f"{letter}: {word} - {'this matches the picture' if letter == right else 'this does not match'}."
            for letter, word in rows
        ),
    )


def responses(options: Sequence[str], place: int, family: str) -> Iterator[tuple[str, str]]:
    """All styles of a family, each with every other option as the one that is talked about."""
    for template in templates(family):
        for other in range(len(options)):
            if other != place:
                yield template, written(template, options, place, other)
