"""Facts in pairs: words and their opposites, numbers of things, works and who made them."""

from kvchat.training.drills.topic_words import rows


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Split `this: that, other: more` into pairs."""
    cells = (pair.split(":") for pair in text.replace("\n", " ").split(","))
    return tuple((first.strip(), second.strip()) for first, second in cells)


OPPOSITES = _pairs(
    "hot: cold, big: small, fast: slow, high: low, long: short, old: young, good: bad, happy: sad, light: dark, hard: soft, wet: dry, full: empty, "
    "early: late, strong: weak, rich: poor, open: closed, clean: dirty, thick: thin, wide: narrow, deep: shallow, loud: quiet, heavy: light, near: far, "
    "left: right, up: down, in: out, on: off, day: night, black: white, front: back, first: last, always: never, everything: nothing, begin: end, "
    "buy: sell, give: take, push: pull, love: hate, win: lose, laugh: cry, remember: forget, arrive: leave, north: south, east: west, "
    "summer: winter, question: answer, friend: enemy, true: false, easy: difficult, cheap: expensive, sweet: sour, smooth: rough, sharp: blunt, "
    "brave: afraid, polite: rude, tidy: messy, awake: asleep, alive: dead, inside: outside, above: below, before: after, more: less, many: few, "
    "yes: no, come: go, float: sink, tight: loose, safe: dangerous, lazy: hard-working, noisy: quiet, bright: dim, top: bottom, sunrise: sunset, "
    "morning: evening, start: stop, same: different, warm: cool, tall: short, kind: mean, healthy: ill, raise: lower, accept: refuse"
)
PLURALS = _pairs(
    "mouse: mice, child: children, foot: feet, tooth: teeth, man: men, woman: women, goose: geese, sheep: sheep, fish: fish, leaf: leaves, knife: knives, "
    "wolf: wolves, life: lives, wife: wives, half: halves, shelf: shelves, city: cities, baby: babies, lady: ladies, story: stories, berry: berries, "
    "box: boxes, fox: foxes, bus: buses, glass: glasses, dish: dishes, watch: watches, church: churches, potato: potatoes, tomato: tomatoes, hero: heroes, "
    "cat: cats, dog: dogs, book: books, house: houses, tree: trees, day: days, boy: boys, key: keys, toy: toys, ox: oxen, person: people, deer: deer, "
    "loaf: loaves, thief: thieves, country: countries, family: families, party: parties, piano: pianos, photo: photos"
)
PASTS = _pairs(
    "go: went, see: saw, eat: ate, drink: drank, run: ran, come: came, give: gave, take: took, make: made, write: wrote, sing: sang, swim: swam, "
    "begin: began, buy: bought, bring: brought, think: thought, catch: caught, teach: taught, find: found, tell: told, sell: sold, stand: stood, "
    "understand: understood, sleep: slept, keep: kept, feel: felt, leave: left, meet: met, lose: lost, send: sent, build: built, say: said, pay: paid, "
    "hear: heard, have: had, know: knew, grow: grew, throw: threw, fly: flew, draw: drew, fall: fell, speak: spoke, break: broke, choose: chose, "
    "wake: woke, drive: drove, ride: rode, forget: forgot, sit: sat, win: won, cut: cut, put: put, walk: walked, play: played, work: worked, "
    "stop: stopped, carry: carried, try: tried, dance: danced, help: helped"
)
RHYMES = _pairs(
    "cat: hat, dog: frog, house: mouse, sun: fun, tree: bee, car: star, night: light, day: play, book: cook, cake: lake, moon: spoon, king: ring, "
    "bed: red, rain: train, fish: dish, hand: sand, sky: fly, ball: wall, nose: rose, boat: goat, pen: hen, fox: box, bear: chair, sheep: sleep, "
    "snow: go, green: queen, coat: boat, door: four, blue: shoe, feet: street, bell: shell, bug: rug, pig: wig, time: lime, mice: ice, duck: truck, "
    "head: bread, clock: sock, tail: snail, flower: shower, money: honey, bread: red, tea: sea"
)
SYNONYMS = _pairs(
    "big: large, small: little, happy: glad, sad: unhappy, fast: quick, begin: start, end: finish, smart: clever, pretty: beautiful, ill: sick, "
    "angry: cross, quiet: silent, hard: difficult, easy: simple, rich: wealthy, brave: bold, gift: present, road: street, shout: yell, answer: reply, "
    "rock: stone, kind: friendly, tired: sleepy, scared: afraid, strange: odd, correct: right, wrong: false, shop: store, jump: leap, choose: pick, "
    "help: assist, repair: mend, buy: purchase, close: shut, speak: talk, autumn: fall, child: kid, rubbish: trash, sofa: couch, photo: picture, "
    "tiny: very small, huge: very big, funny: amusing, famous: well known"
)
MIXED = _pairs(
    "blue and yellow: green, red and yellow: orange, red and blue: purple, red and white: pink, black and white: grey, "
    "yellow and blue: green, yellow and red: orange, blue and red: purple, white and red: pink, white and black: grey"
)
COLOURS = _pairs(
    "the sky on a clear day: blue, grass: green, snow: white, blood: red, coal: black, milk: white, the sun at sunset: orange or red, a ripe tomato: red, "
    "an elephant: grey, a polar bear: white, a crow: black, a flamingo: pink, a frog: mostly green, chocolate: brown, gold: yellow, silver: grey and shiny, "
    "a leaf in summer: green, salt: white, a swan: mostly white, a sunflower: yellow, sand: yellow or light brown, an egg yolk: yellow, "
    "a fire engine: mostly red, rice: mostly white, honey: golden, butter: yellow, a zebra: black and white, a ladybird: red with black dots, "
    "a stop sign: red, a strawberry: red, lavender: purple, cotton: white, a lobster after cooking: red, a panda: black and white, a pea: green"
)
NUMBERS = _pairs(
    "minutes are in an hour: 60, seconds are in a minute: 60, hours are in a day: 24, days are in a week: 7, months are in a year: 12, days are in a year: 365, "
    "days are in a leap year: 366, weeks are in a year: 52, seasons are in a year: 4, years are in a century: 100, years are in a decade: 10, "
    "centimetres are in a metre: 100, millimetres are in a centimetre: 10, metres are in a kilometre: 1000, grams are in a kilogram: 1000, "
    "kilograms are in a ton: 1000, millilitres are in a litre: 1000, cents are in a dollar: 100, cents are in a euro: 100, pence are in a pound: 100, "
    "eggs are in a dozen: 12, letters are in the alphabet: 26, vowels are in the alphabet: 5, days are in January: 31, days are in April: 30, "
    "days are in June: 30, days are in July: 31, days are in August: 31, days are in September: 30, days are in October: 31, days are in November: 30, "
    "days are in December: 31, days are in March: 31, days are in May: 31, sides does a triangle have: 3, sides does a square have: 4, "
    "sides does a pentagon have: 5, sides does a hexagon have: 6, sides does an octagon have: 8, corners does a triangle have: 3, corners does a square have: 4, "
    "faces does a cube have: 6, edges does a cube have: 12, wheels does a bicycle have: 2, wheels does a tricycle have: 3, wheels does a car have: 4, "
    "fingers are on one hand: 5, toes does a person have: 10, eyes does a person have: 2, senses do people have: 5, teeth does an adult have: 32, "
    "planets does our sun have: 8, colours are in a rainbow: 7, continents are there: 7, oceans are there: 5, "
    "players are in a football team: 11, players are in a basketball team on the court: 5, players are in a volleyball team on the court: 6, "
    "squares are on a chessboard: 64, pieces does each chess player have: 16, strings does a violin have: 4, strings does a guitar usually have: 6, "
    "strings does a cello have: 4, keys does a piano have: 88, wings does a bird have: 2, wings does a bee have: 4, arms does an octopus have: 8, "
    "minutes are in half an hour: 30, minutes are in a quarter of an hour: 15, "
    "months are in half a year: 6, days are in a weekend: 2, degrees are in a right angle: 90, degrees are in a circle: 360, sides does a coin have: 2, "
    "chambers does the human heart have: 4, dots are on a die in all: 21"
)
PLANETS = rows("""
    Mercury | the first | the smallest planet | no moons
    Venus | the second | the hottest planet | no moons
    Earth | the third | the planet we live on | one moon
    Mars | the fourth | called the red planet | two moons
    Jupiter | the fifth | the biggest planet | many moons
    Saturn | the sixth | the planet with the bright rings | many moons
    Uranus | the seventh | a cold planet | many moons
    Neptune | the eighth | the planet farthest from the sun | many moons
""")
"""Name, place from the sun, what it is, number of moons."""
WORKS = rows("""
    Hamlet | wrote | William Shakespeare | a play
    Romeo and Juliet | wrote | William Shakespeare | a play
    Macbeth | wrote | William Shakespeare | a play
    Oliver Twist | wrote | Charles Dickens | a novel
    A Christmas Carol | wrote | Charles Dickens | a story
    Pride and Prejudice | wrote | Jane Austen | a novel
    Emma | wrote | Jane Austen | a novel
    Alice in Wonderland | wrote | Lewis Carroll | a children's book
    Peter Pan | wrote | J. M. Barrie | a play and a children's book
    The Jungle Book | wrote | Rudyard Kipling | a book of stories
    Treasure Island | wrote | Robert Louis Stevenson | a novel
    Robinson Crusoe | wrote | Daniel Defoe | a novel
    Gulliver's Travels | wrote | Jonathan Swift | a novel
    Frankenstein | wrote | Mary Shelley | a novel
    Dracula | wrote | Bram Stoker | a novel
    Jane Eyre | wrote | Charlotte Bronte | a novel
    Don Quixote | wrote | Miguel de Cervantes | a novel
    Faust | wrote | Johann Wolfgang von Goethe | a play
    War and Peace | wrote | Leo Tolstoy | a novel
    The Little Prince | wrote | Antoine de Saint-Exupery | a story
    Around the World in Eighty Days | wrote | Jules Verne | a novel
    The Three Musketeers | wrote | Alexandre Dumas | a novel
    Les Miserables | wrote | Victor Hugo | a novel
    Tom Sawyer | wrote | Mark Twain | a novel
    Moby Dick | wrote | Herman Melville | a novel
    The Hobbit | wrote | J. R. R. Tolkien | a novel
    Harry Potter | wrote | J. K. Rowling | a row of novels
    Pippi Longstocking | wrote | Astrid Lindgren | a children's book
    Pinocchio | wrote | Carlo Collodi | a children's book
    Heidi | wrote | Johanna Spyri | a children's book
    The Ugly Duckling | wrote | Hans Christian Andersen | a fairy tale
    The Little Mermaid | wrote | Hans Christian Andersen | a fairy tale
    the Mona Lisa | painted | Leonardo da Vinci | a picture
    the Last Supper | painted | Leonardo da Vinci | a picture
    the Starry Night | painted | Vincent van Gogh | a picture
    the Scream | painted | Edvard Munch | a picture
    the Night Watch | painted | Rembrandt | a picture
    Guernica | painted | Pablo Picasso | a picture
    the Girl with a Pearl Earring | painted | Johannes Vermeer | a picture
    The Magic Flute | composed | Wolfgang Amadeus Mozart | an opera
    The Four Seasons | composed | Antonio Vivaldi | a work for violin and orchestra
    Swan Lake | composed | Pyotr Tchaikovsky | a ballet
    Carmen | composed | Georges Bizet | an opera
    Aida | composed | Giuseppe Verdi | an opera
    the Moonlight Sonata | composed | Ludwig van Beethoven | a work for piano
    the theory of relativity | came up with | Albert Einstein | a theory about space and time
    the law of gravity | came up with | Isaac Newton | a law of nature
    penicillin | discovered | Alexander Fleming | a medicine
    radium | discovered | Marie and Pierre Curie | an element
    X-rays | discovered | Wilhelm Röntgen | rays that pass through the body
    dynamite | invented | Alfred Nobel | an explosive
    the World Wide Web | invented | Tim Berners-Lee | a system of linked pages on the internet
    the diesel engine | invented | Rudolf Diesel | an engine
""")
"""Work, what was done to it, by whom, what it is."""

ORDERED: dict[str, tuple[str, ...]] = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
    "season": ("spring", "summer", "autumn", "winter"),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}  # fmt: skip
"""Rows of things that come after each other; all but the letters begin again at their end."""

SCALES: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("bigger", "smaller"): (
        ("an ant", "a mouse", "a rabbit", "a sheep", "a horse", "an elephant", "a blue whale"),
        ("a flea", "a bee", "a frog", "a cat", "a goat", "a cow", "a hippo"),
        ("a pea", "a cherry", "an apple", "a pumpkin"),
        ("a cup", "a bucket", "a bathtub", "a lake", "an ocean"),
        ("a hut", "a house", "a castle", "a town"),
        ("the moon", "the earth", "the sun"),
        ("a village", "a town", "a country", "a continent"),
        ("a coin", "a plate", "a table", "a room"),
    ),
    ("faster", "slower"): (
        ("a snail", "a turtle", "a dog", "a cheetah"),
        ("a walker", "a runner", "a car", "a plane", "a rocket"),
        ("a rowing boat", "a bicycle", "a train", "a jet plane"),
        ("a worm", "a hen", "a horse", "a race car"),
    ),
    ("hotter", "colder"): (
        ("ice", "cool water", "hot tea", "fire", "the sun"),
        ("snow", "warm milk", "boiling water", "a flame"),
    ),
    ("heavier", "lighter"): (
        ("a feather", "an egg", "a brick", "a piano", "a truck"),
        ("a leaf", "a book", "a bicycle", "a car", "a ship"),
        ("a snowflake", "an apple", "a chair", "a cow"),
    ),
    ("longer", "shorter"): (
        ("a second", "a minute", "an hour", "a day", "a week", "a month", "a year", "a century"),
        ("a millimetre", "a centimetre", "a metre", "a kilometre"),
    ),
    ("harder", "softer"): (("butter", "wood", "iron", "diamond"), ("a pillow", "a stone")),
    ("louder", "quieter"): (("a whisper", "a talk", "a shout", "thunder"),),
    ("taller", "shorter"): (
        ("a mouse", "a dog", "a horse", "a giraffe"),
        ("a flower", "a bush", "a house", "a church tower", "a mountain"),
    ),
}
"""For each pair of words, rows of things with ever more of the first."""

BELONG: dict[str, tuple[str, ...]] = {
    "which sense do we use our eyes for": ("sight", "We use our eyes for sight."),
    "what do we hear with": ("ears", "We hear with our ears."),
    "what do we smell with": ("nose", "We smell with our nose."),
    "what do we taste with": ("tongue", "We taste with our tongue."),
    "what do we see with": ("eyes", "We see with our eyes."),
    "what do we touch things with": ("hands", "We touch things with our hands and feel them with our skin."),
    "what do we think with": ("brain", "We think with our brain."),
    "what pumps the blood": ("heart", "The heart pumps the blood through the body."),
    "what do we breathe with": ("lungs", "We breathe with our lungs."),
    "what do we chew with": ("teeth", "We chew with our teeth."),
    "where does food go after we swallow it": ("stomach", "It goes into the stomach."),
    "which joint is in the middle of the leg": ("knee", "The knee is in the middle of the leg."),
    "which joint is in the middle of the arm": ("elbow", "The elbow is in the middle of the arm."),
    "what joins the hand and the arm": ("wrist", "The wrist joins the hand and the arm."),
    "what joins the foot and the leg": ("ankle", "The ankle joins the foot and the leg."),
    "what is the largest ocean": ("Pacific", "The Pacific is the largest ocean."),
    "what is the highest mountain in the world": ("Everest", "Mount Everest is the highest mountain in the world."),
    "what is the largest land animal": ("elephant", "The African elephant is the largest land animal."),
    "what is the largest animal of all": ("blue whale", "The blue whale is the largest animal of all."),
    "what is the fastest animal on land": ("cheetah", "The cheetah is the fastest animal on land."),
    "what is the tallest animal": ("giraffe", "The giraffe is the tallest animal."),
    "which animal is called the king of the animals": ("lion", "The lion is called the king of the animals."),
    "what is the largest continent": ("Asia", "Asia is the largest continent."),
    "what is the smallest continent": ("Australia", "Australia is the smallest continent."),
    "which star is nearest to the earth": ("sun", "The sun is the star nearest to the earth."),
    "which planet do we live on": ("Earth", "We live on the planet Earth."),
    "what goes round the earth": ("moon", "The moon goes round the earth."),
    "when is Christmas": ("25 December", "Christmas Day is on 25 December."),
    "when is Halloween": ("31 October", "Halloween is on 31 October."),
    "when is New Year's Day": ("1 January", "New Year's Day is on 1 January."),
    "when is Valentine's Day": ("14 February", "Valentine's Day is on 14 February."),
    "which month comes first in the year": ("January", "January is the first month of the year."),
    "what is the last month of the year": ("December", "December is the last month of the year."),
    "which month is the shortest": ("February", "February is the shortest month."),
    "which season is the coldest": ("winter", "Winter is the coldest season."),
    "which season is the warmest": ("summer", "Summer is the warmest season."),
    "at what temperature does water freeze": ("0 degrees", "Water freezes at 0 degrees Celsius."),
    "at what temperature does water boil": ("100 degrees", "Water boils at 100 degrees Celsius."),
    "what is frozen water called": ("ice", "Frozen water is called ice."),
    "what do bees make": ("honey", "Bees make honey."),
    "what do hens lay": ("eggs", "Hens lay eggs."),
    "what do cows give us": ("milk", "Cows give us milk."),
    "what do sheep give us": ("wool", "Sheep give us wool."),
    "what do spiders make": ("webs", "Spiders make webs."),
    "in which direction does the sun rise": ("east", "The sun rises in the east."),
    "in which direction does the sun set": ("west", "The sun sets in the west."),
    "where can I buy bread": ("bakery", "You can buy bread in a bakery."),
    "where can I buy meat": ("butcher", "You can buy meat at the butcher's."),
    "where can I buy medicine": ("pharmacy", "You can buy medicine in a pharmacy."),
    "where can I buy books": ("bookshop", "You can buy books in a bookshop."),
    "where can I borrow books": ("library", "You can borrow books from a library."),
    "where can I buy stamps": ("post office", "You can buy stamps at a post office."),
    "where can I buy flowers": ("florist", "You can buy flowers at a florist's."),
    "where can I see wild animals in a city": ("zoo", "You can see them in a zoo."),
    "where do trains stop": ("station", "Trains stop at a station."),
    "where do planes land": ("airport", "Planes land at an airport."),
    "what does a bird live in": ("nest", "A bird lives in a nest."),
    "what does a bee live in": ("hive", "A bee lives in a hive."),
    "what does a dog sleep in outside": ("kennel", "A dog sleeps in a kennel."),
    "what does a horse sleep in": ("stable", "A horse sleeps in a stable."),
    "what does a king live in": ("palace", "A king lives in a palace."),
    "what does a camel store in its hump": ("fat", "A camel stores fat in its hump."),
    "who was the first man on the moon": ("Armstrong", "Neil Armstrong was the first man on the moon."),
    "who was the first person in space": ("Gagarin", "Yuri Gagarin was the first person in space."),
    "who was the first president of the United States": ("Washington", "George Washington was the first president of the United States."),
    "what gas do we need to breathe": ("oxygen", "We need oxygen to breathe."),
    "what is table salt made from": ("sea or rock", "Table salt comes from the sea or from rock."),
    "what is bread made of": ("flour", "Bread is made of flour, water, salt and often yeast."),
    "what is cheese made of": ("milk", "Cheese is made of milk."),
    "what is butter made of": ("cream", "Butter is made from cream."),
    "what is wine made of": ("grapes", "Wine is made from grapes."),
    "what is chocolate made of": ("cocoa", "Chocolate is made from cocoa beans and sugar."),
    "what is glass made of": ("sand", "Glass is made mostly from sand."),
    "what is paper made of": ("wood", "Paper is made from wood."),
    "what are candles made of": ("wax", "Candles are made of wax."),
    "what are tires made of": ("rubber", "Tires are made of rubber."),
    "what is jam made of": ("fruit", "Jam is made of fruit and sugar."),
    "what is a raisin": ("dried grape", "A raisin is a dried grape."),
    "what is the colour of the sun in children's drawings": ("yellow", "It is mostly yellow."),
}  # fmt: skip
"""Questions without their mark, with the answer in a word and in a sentence."""
