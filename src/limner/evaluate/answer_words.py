"""Words by which answers are given, in the languages that models answer in: sources of regular expressions.

A text is read in lower case and in Unicode's form NFKC, where full-width letters and signs are plain ones. Languages
stand side by side in one alternative, since an answer does not say which language it is in.
"""

from __future__ import annotations


def either(*rows: str) -> str:
    """An alternative of all that some rows hold, separated by bars."""
    return "(?:" + "|".join(rows) + ")"


def listed(*rows: str) -> frozenset[str]:
    """The words of some rows."""
    return frozenset(word for row in rows for word in row.split())


ANSWER = either(  # what an answer is called
    "answers?|solution|choice|selection|response|conclusion|verdict|pick|prediction|ans",
    "correct option|right option|best option|correct letter|right letter|correct one|right one|best match|best fit",
    "答案|答|正解|答え|回答|解答|结论|結論|结果|选择|選擇|選択|我选|我選|應選|应选|正确选项|正確選項|正しい選択肢|解",
    "정답|답|답변|해답|결론|정답은|선택",
    "respuestas?|solución|opción correcta|elección|antwort|lösung|richtige option|auswahl|wahl",
    "réponse|bonne option|option correcte|choix|risposta|opzione corretta|scelta|resposta|opção correta|alternativa",
    "ответ|правильный вариант|вариант ответа|antwoord|odpowiedź|odpowiedz|cevap|yanıt|đáp án|jawaban|คำตอบ|उत्तर",
    "الإجابة|الجواب|إجابة",
)
CHOOSE = either(  # the act of choosing, before what is chosen
    "choose|choosing|chose|pick|picked|picking|select|selected|selecting|go with|going with|opt for|opted for",
    "vote for",
    "decide on|decided on|settle on|settled on|settle for|conclude|guess|bet on|take|say|answer with|answering",
    "lean towards",
    "选择|選擇|选(?!项)|選(?!項)|选定|選定|挑|应为|應為|고른다|고르면|선택",
    "elijo|escojo|selecciono|opto por|diría|marco|wähle|nehme|entscheide mich für|tippe auf|würde sagen",
    "choisis|sélectionne|dirais|opte pour|prends|scelgo|seleziono|escolho|seleciono|выбираю|kies",
)
THUS = either(  # before a conclusion
    "correction|actually|no wait|wait no|so|thus|hence|therefore|ergo|consequently|accordingly|conclusion|in conclusion|in short|to conclude|final",
    "finally|overall",
    "i think|i believe|i'd say|i would say|i'd go|my guess|definitely|clearly|must be|has to be|leaves|leaving",
    "leaves only|matches",
    "所以|因此|故|综上|綜上|由此|因而|可知|应该是|應該是|つまり|よって|従って|したがって|따라서|그러므로|그래서",
    (
        "por lo tanto|por tanto|entonces|así que|luego|en conclusión|creo que|also|deshalb|daher|somit|folglich|"
        "ich denke"
    ),
    "donc|alors|ainsi|par conséquent|en conclusion|je pense que|quindi|dunque|perciò|portanto|logo|então|поэтому",
    "значит|итак|dus",
)
IS = either(
    "is|was|are|be|would be|should be|must be|has to be|being|appears to be|seems to be|looks like|equals|will be",
    "called|it's|that's",
    "是|为|為|は|が|就是|应该是|應該是|应当是|可能是|选(?!项)|選(?!項)|은|는|es|sería|debe ser|ser|ist|wäre|lautet|heißt|heisst|sind|sein",
    "est|serait|doit être|sont|c'est|è|é|sarebbe|seria|é a|é o|это|hiçbiri|adalah|là|คือ|है|هو|هي",
)
FILL = either(  # what may stand between such a word and what it is about
    "option|options|choice|letter|number|answer|the|a|an|as|likely|most likely|probably|clearly|definitely|certainly",
    "simply|just",
    (
        "indeed|then|thus|therefore|also|still|only|correct|right|following|one|that|it|it's|it is|this|this is|"
        "that it's"
    ),
    "with|for|labeled|labelled",
    "选项|選項|選択肢|項|项|答案|第|应该|最|是|的|는|은|보기|선택지|항목|번|의",
    "opción|opciones|respuesta|la|el|los|las|que|letra|inciso|alternativa|antwort|möglichkeit|buchstabe|die|der|das",
    "den|dass|es",
    "réponse|le|les|l'|lettre|que|proposition|choix|opzione|la lettera|risposta|opção|a letra|resposta|вариант|буква",
    "optie",
)
NOT = either(  # before what is denied
    r"\bnot|n't|never|cannot|neither|nor|rather than|instead of|\bthan\b|\bover\b|\bexcept|excluding|unlike|against",
    r"\bno longer",
    r"rul\w+ out|eliminat\w*|exclud\w*|discard\w*|reject\w*|dismiss\w*|cross\w* out|isnt",
    r"\bwrong(?:ly)? (?:choose|pick|say)\w*",
    "不是|並非|并非|不选|不選|而非|并不是|排除了?|除了|不应选|不會是|不会是|不可能是|不符合|以外",
    r"\bnicht|\bkeine?\b|weder|\bnoch\b|statt|anstatt|anstelle von|ausschließ\w*|ausgeschlossen|auszuschließen",
    r"\bno es\b|\bno sea\b|\bno puede ser\b|\bni\b|en lugar de|en vez de|descart\w*|exclu\w*|\bno\s+(?=la|el|opción)",
    r"n'est pas|\bpas\b|plutôt que|au lieu de|élimin\w*|écart\w*|\bnon è\b|\bnon\b|invece di|não é|\bnão\b|em vez de",
    r"\bне\b|вместо|\bniet\b|in plaats van",
)
_VERDICT_IS = (
    r"(?:is|was|are|'s|seems?|looks?|appears?|can|could|must|would|will|should|be|been|has|have|had|therefore|"
    r"thus|hence"
    r"|clearly|also|obviously|definitely|certainly|simply|just|then|option|answer|choice|ist|sind|wird|kann|es|"
    r"son|está"
    r"|queda"
    r"|est|sont|parece|è|é|是|为|為|的|都|也|选项|選項|が|は|を|も|で|이|가|은|는|을|를|도|번|입니다)"
)
_DENIED = r"(?:not?|cannot|can't|n't|never|don't|doesn't|isn't|aren't|nicht|kein|keine|no|n'est pas|pas|non|não|не|不|并不|並不|没有)"
RIGHT = either(
    (
        "correct|right|true|accurate|valid|yes|best|better|matches|match|fits|fit|it|chosen|selected|answer|only one|"
        "only option"
    ),
    "only choice|only match|suitable|appropriate",
    "✓|✔|✅|☑|正确|正確|对|對|正解|符合|最佳|答案|合适|正しい|適切|選び|選択|正答|答え|정답|맞|옳|선택|고르|답",
    "richtig|korrekt|stimmt|passt|zutreffend|wahr|antwort|lösung|correct[ao]|verdader[ao]|acertad[ao]|sí|respuesta",
    "adecuad[ao]",
    "juste|exacte?|vraie?|bonne|oui|réponse|corrett[ao]|giust[ao]|risposta|corret[ao]|cert[ao]|resposta|верн\\w*",
    "правильн\\w*|ответ|juist",
)
WRONG = either(
    "incorrect|wrong|false|invalid|inaccurate|mistaken|ruled out|eliminated|excluded|impossible|unlikely|rejected",
    "discarded|no|implausible",
    "✗|✘|❌|✖|×|错|錯|不对|不對|错误|錯誤|不正确|不正確|不符|不是|有误|有誤|排除|不成立|不合适|違い|違う|違います|間違|誤り|不正解|不適切",
    "ではな|ではあり|じゃな|でない|아니|아닙|아닌|틀|오답|않|제외|잘못",
    "falsch|unzutreffend|ausgeschlossen|scheidet aus|scheiden aus|passt nicht|stimmt nicht|nein|incorrect[ao]s?",
    "fals[ao]s?|erróne[ao]s?|descartad[ao]s?",
    "incorrecte?s?|fausses?|faux|exclue?s?|éliminée?s?|errat[ao]|sbagliat[ao]|falso|errad[ao]|неверн\\w*",
    "неправильн\\w*|onjuist|fout",
)
_END = r"(?=$|\W|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af])"
_THE = r"(?:(?:the|only|most|one|an?|la|el|le|die|der|das|une?|das?|o|a|最|best|clear|obvious)\s*){0,3}"
_NOUN = r"(?:\s*(?:answer|option|choice|one|match|fit|letter|solution|antwort|option|respuesta|opción|réponse|risposta|resposta))?(?:\s+(?:best|well|perfectly|exactly|only|here|closely))?"
AFTER_RIGHT = (  # "is the right answer": said of what stands before it
    rf"^[\s:\-–—=(>]*(?:{_VERDICT_IS}\s*){{0,4}}{_THE}{RIGHT}{_NOUN}"
    r"(?=\s*(?:$|[.,;:!)]|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]"
    r"|\s(?:because|since|as|for|here|given|based|and|to|in|that|which|who|weil|da|denn|porque|car|parce)\b))"
)
AFTER_WRONG = (  # "is wrong", "does not match"
    rf"^[\s:\-–—=(>]*(?:{_VERDICT_IS}\s*){{0,4}}{_THE}{WRONG}{_END}"
    rf"|^[\s:\-–—=(>]*(?:(?:{_VERDICT_IS}|does|do|did)\s*){{0,3}}{_DENIED}\s*(?:\w+\s+){{0,3}}{RIGHT}"
    rf"|^\s*(?:{_VERDICT_IS}|does|do|did)\s*{_DENIED}[\s.!]*$"
)
DOUBT = either(  # in a clause that only tells what might be thought
    r"\bif\b|\bwere it\b|was going to|(?:would|could|might) have|at first|first (?:i|glance|sight|look|impression|thought)|initially|\bthought\b|tempt\w*",
    r"\bone (?:may|might|could)\b",
    (
        r"\b(?:some|many|most people|others|people|someone|somebody|they|you|students|a reader|"
        r"another model) (?:\w+ )?(?:may|might|could|would|will|say|think|thinks|take|choose|pick|argue|believe|"
        r"confuse|mistake)"
    ),
    r"如果|假如|若是|有人|乍看|一开始|起初|看似|もし|一見|最初は|만약|언뜻|처음에는",
    (
        r"\bwenn\b|\bfalls\b|zuerst|anfangs|zunächst|auf den ersten blick|manche|\bsi (?:fuera|fuese|la|el)\b|"
        r"al principio"
    ),
    r"algunos|a primera vista|s'il|au premier|d'abord|certains|à première",
)
TURN = either(  # after these words, what was said before is taken back
    r"\bbut\b|however|\bwait\b|actually|\bno\b|correction|instead|on second|rather|\bhmm\b|let me|in fact|\byet\b",
    r"in the end|finally|\bfinal\b|\bso\b|therefore|thus|hence|conclusion|overall|reconsider\w*|sorry",
    r"但|不过|然而|不对|实际上|其实|最终|所以|因此|综上|しかし|でも|いや|やはり|よって|하지만|그러나|아니|따라서|결국",
    r"\baber\b|jedoch|doch|sondern|moment|eigentlich|\balso\b|daher|schließlich|\bpero\b|\bsino\b|sin embargo|espera",
    r"en realidad|por lo tanto|finalmente|\bmais\b|cependant|attends|en fait|\bdonc\b|finalement|\bma\b|però|\bmas\b",
    r"\bно\b|\bmaar\b",
)
CONTRAST = either(  # where a clause ends and its opposite begins
    r"\bbut\b|\bhowever\b|\bwhereas\b|\bwhile\b|\balthough\b|\bthough\b|\bsondern\b|\baber\b|\bwährend\b|\bsino\b",
    r"\bpero\b|\bmientras\b|\bmais\b|\btandis\b|\bма\b|\bmas\b",
    "而是|但是?|而|不过|然而|しかし|하지만|그러나",
)
AND = either(
    (
        r"and/or|and|or|nor|und|oder|y|o|et|ou|e|to|through|thru|bis|和|或者?|与|與|及|以及|还是|還是|到|至|と|か|または|や|および|과|와|또는|"
        r"이나|나|및"
    ),
    r"и|или|en|of|plus|as well as|alternatively",
)
YES = either(
    "yes|yeah|yep|yup|yea|aye|affirmative|certainly|definitely|absolutely|of course|indeed|correct|true|right|sure",
    "exactly|that's right|that is right|that is correct|that's correct|it does|it is|there is|there are|y",
    "是的?|对的?|對的?|有的?|正确|正確|存在|没错|沒錯|当然|當然|确实|確實|可以看到|能看到|嗯|对呀|好的",
    "はい|ええ|うん|そうです|その通り|あります|います|正しい|네|예|응|그렇습니다|그래요|맞습니다|맞아요?|있습니다|있어요?|있다",
    "sí|si|claro que sí|claro|por supuesto|efectivamente|correcto|verdadero|cierto|ja|jawohl|doch|genau|richtig|wahr|natürlich",
    "sicher|stimmt",
    "oui|ouais|vrai|exact|bien sûr|tout à fait|effectivement|sì|certo|vero|sim|verdade|да|конечно|верно|evet|tak|نعم",
    "हाँ|हां|ใช่|có|ya|igen|ano|kyllä",
)
NO = either(
    (
        "no|nope|nah|nay|negative|false|incorrect|wrong|not really|not at all|not|none|never|absolutely not|"
        "certainly not"
    ),
    "definitely not|of course not|i'm afraid not|n",
    "不是的?|不对|不對|不|没有?|沒有?|否|无|無|错误?|錯誤?|不存在|並沒有|并没有|不正确|看不到",
    "いいえ|いや|いえ|違います|ちがいます|ありません|いません|ない|正しくない|아니요|아니오|아뇨|아니|아닙니다|없습니다|없어요?|없다|틀렸?습니다|틀립니다|틀려요?",
    "falso|incorrecto|para nada|en absoluto|nein|nö|nee|falsch|keineswegs|überhaupt nicht",
    "non|faux|pas du tout|incorrect|aucun|não|falso|нет|неверно|hayır|nie|لا|नहीं|ไม่|không|tidak|nem|ne|ei",
)
NEGATED = either(  # anywhere in a sentence: it denies
    r"\bno\b|\bnot\b|n't\b|\bnone\b|\bnothing\b|\bnobody\b|\bno one\b|\bnowhere\b|\bneither\b|\bnor\b|\bnever\b",
    r"\bcannot\b|\bwithout\b|\babsent\b|\babsence\b|\black(?:s|ing)?\b|\bmissing\b|\bunable\b|\bfails? to\b|\bdont\b",
    r"\bdoesnt\b|\bisnt\b|\bfree of\b|\bdevoid\b|\bzero\b|\bhardly any\b",
    "不|没|沒|無|无|未|否|ません|ない|なく|없|않|아니|아닙|못",
    r"\bnicht\b|\bkein(?:e[nmrs]?)?\b|\bnichts\b|\bniemand\b|\bohne\b|\bnirgends\b|\bning[uú]n[oa]?s?\b|\bnada\b",
    r"\bnadie\b|\bnunca\b|\btampoco\b|\bsin\b",
    r"\bpas\b|\baucune?\b|\bjamais\b|\bsans\b|\bne\b|\bn'|\bnon\b|\bnessun[oa]?\b|\bnão\b|\bnenhum(?:a)?\b|\bsem\b",
    r"\bнет\b|\bне\b|\bgeen\b|\bniet\b|\byok\b|\bdeğil\b|\bkhông\b|\btidak\b|\bbukan\b|नहीं|ไม่|\bلا\b|ليس",
)
EXISTS = either(  # in a sentence that does not deny: it affirms
    r"\bthere(?:'s| is| are| was| were| exists?| appears?| seems?)\b|\bi (?:can |do |clearly |also )*see\b",
    r"\bi (?:spot|notice|find|observe)\b",
    (
        r"\b(?:picture|image|photo|scene|it|this) (?:does |clearly |also )?(?:show|contain|depict|include|feature|"
        r"have|has|display)s?\b"
    ),
    r"\bis (?:visible|present|shown|seen|there|in|on|at|indeed|a|the)\b",
    (
        r"\bare (?:visible|present|shown|seen|there|in|on)\b|\bcan be seen\b|\b(?:it|that|this|they) (?:is|does|do|"
        r"are)\b"
    ),
    r"\b(?:one|you|we) (?:can )?see\b|\b(?:is|are) \w+ing\b|\bvisible\b|\bpresent\b",
    "有|是|存在|看到|看见|可见|あります|います|ある|いる|見え|写って|있|보입니다|보인다|보여|맞",
    r"\bhay\b|\bse ve\b|\bveo\b|\baparece\b|\bmuestra\b|\bexiste\b|\bestá\b|\bes gibt\b|\bgibt es\b|\bich sehe\b",
    r"\bzeigt\b|\bist\b|\bsieht man\b|\bil y a\b|\bje vois\b|\bmontre\b|\bon voit\b|\bcontient\b|\bc'è\b|\bvedo\b",
    r"\bhá\b|\bvejo\b|\bесть\b|\bвижу\b|\ber is\b",
)
UNSURE = either(  # nothing was answered
    (
        r"(?:can(?:no|')t|can not|could(?:n't| not)|unable to|not able to|impossible to|hard to|"
        r"difficult to) (?:really |clearly |reliably |be )?(?:tell|say|determined?|know|answer|judge|"
        r"see the (?:picture|image|photo)|view|assist|help|discern|verify|confirm|make out whether)"
    ),
    r"(?:do(?:n't| not)|did(?:n't| not)) know|not (?:sure|certain|clear)|unsure|uncertain|unclear|unknown|no idea",
    r"ambiguous|insufficient|not enough|(?:don't|do not|didn't|did not) have (?:access|enough|the (?:picture|image))",
    r"no (?:picture|image) (?:was|is|has been)|maybe|perhaps|depends",
    "不知道|不确定|不確定|无法|無法|不清楚|难以|難以|也许|可能|わかりません|分かりません|判断でき|不明|모르|알 수 없|불확실|확실하지",
    r"\bno (?:lo )?sé\b|\bno (?:se )?puede determinar|no estoy segur[oa]|no está claro|quizás?|tal vez",
    r"weiß (?:ich )?(?:es )?nicht|nicht sicher|unklar",
    r"kann (?:ich |man )?(?:es )?nicht (?:sagen|erkennen, ob|beurteilen|feststellen)|vielleicht|je ne sais pas",
    r"pas sûre?|impossible de (?:dire|savoir)|peut-être|pas clair|non lo so|não sei|не знаю",
)
IDIOMS = either(  # negations that deny nothing
    "no doubt|without (?:a |any )?doubt|beyond (?:any )?doubt|no question|without question|no problem|not only",
    "no wonder|no mistaking|can't miss|cannot miss|can't deny|undeniabl[ey]|nothing but|no less|no more than|why not",
    "not to mention|whether or not|or not|no other than|none other than|not just|couldn't be clearer",
    "毫无疑问|毫無疑問|无疑|無疑|不仅|不僅|不但|间違いなく|間違いなく|틀림없|의심할 여지 없이|kein zweifel|zweifellos|ohne zweifel|ohne frage|nicht nur",
    "sin duda|sin lugar a dudas|no hay duda|no solo|no sólo|sans doute|sans aucun doute|aucun doute|pas seulement",
    "senza dubbio|sem dúvida|без сомнения",
)
OPENERS = either(  # before a yes or no
    r"\b(?:well|hmm|oh|ok|okay|so|thus|hence|therefore|but|and|overall|in conclusion|conclusion|finally|final)\b",
    r"\b(?:i think|i believe|i would (?:say|answer)|i'd (?:say|answer)|answer|my|definitely|certainly|absolutely|probably|surely|clearly|likely)\b",
    r"\b(?:of course|actually|wait|it's|a|the|also|donc|entonces|por lo tanto)\b|所以|因此|答",
)
YES_LABELS = listed(
    "yes y true correct affirmative 是 是的 有 对 對 正确 正確 はい 네 예 sí si ja wahr richtig oui vrai sì vero sim да",
    "evet tak",
)
NO_LABELS = listed(
    "no n false incorrect negative 否 不是 没有 沒有 不 不对 不對 错误 錯誤 无 いいえ 아니요 아니오 nein falsch non faux falso não",
    "нет hayır nie",
)
CARRIERS = listed(  # words of a sentence that carries an answer and adds nothing to it
    "a an the it is it's its this that these those there here are was were be being i we you can see",
    "think believe say would d ll m s re looks look like appears appear seems seem to me in on at of with",
    "by from as and answer final correct right picture image photo scene figure shown show shows showing",
    "visible depicted depicts displayed displays seen contains contain has have so thus therefore hence",
    "which what how many does do color colour shape side object thing one very clearly definitely",
    "probably most likely just exactly total altogether my guess response please note based es ist das",
    "die der den dem ein eine einen sind sieht man zu sehen im bild c est ce il y la le les un une des",
    "dans l los las una uno hay son está en imagen foto 这 這 是 它 一 个 個 张 張 图 圖 中 的 有 里 裡 那 在 片 为 為 答 案 で す",
    "は が の に あ り ま い る こ れ そ 이 가 은 는 입 니 다 그 것",
)
