"""What stories are made of: heroes, things, places, openings, plots and endings.

In the sentences `{n}` is the hero's name, `{a_hero}` the hero with adjective and article, `{t}` the
thing, `{a_t}` the thing with its article, `{p}` the place with its preposition, `{friend}` the
friend's name and kind, `{with_friend}` a phrase that brings the friend in or nothing, and `{he}`,
`{him}`, `{his}` the hero's pronouns (`{He}`, `{His}` with a capital letter).
"""

from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(","))


MALE = _listed(
    "boy, man, king, prince, knight, grandfather, old man, fisherman, uncle, wizard, monk, sultan, father, shepherd boy"
)
FEMALE = _listed(
    "girl, woman, queen, princess, grandmother, old woman, witch, aunt, mother, shepherd girl, mermaid, fairy"
)
ANIMALS = _listed(
    "fox, bear, rabbit, mouse, cat, dog, wolf, owl, duck, frog, hedgehog, squirrel, turtle, horse, pony, donkey, cow, "
    "sheep, goat, pig, hen, goose, lion, tiger, elephant, monkey, giraffe, zebra, hippo, penguin, seal, whale, dolphin, "
    "octopus, crab, snail, bee, ant, beetle, butterfly, spider, bat, crow, raven, eagle, sparrow, robin, parrot, swan, "
    "stork, badger, otter, beaver, mole, deer, moose, camel, llama, panda, koala, kangaroo, crocodile, snake, lizard, "
    "hamster, puppy, kitten, lamb, foal, caterpillar, ladybird, raccoon, ferret, walrus, ostrich, peacock, flamingo"
)
PEOPLE = _listed(
    "teacher, baker, farmer, gardener, sailor, captain, pirate, painter, musician, doctor, nurse, carpenter, postman, "
    "cook, pilot, astronaut, clown, tailor, miller, hunter, librarian, clockmaker, singer, dancer, juggler, inventor, "
    "detective, child, twin, neighbour, student, explorer, writer, shoemaker, lighthouse keeper, bus driver, firefighter"
)
CREATURES = _listed(
    "robot, dragon, ghost, giant, dwarf, elf, troll, unicorn, monster, snowman, scarecrow, goblin, alien, cloud, "
    "teddy bear, toy soldier, star, griffin, phoenix, sea monster"
)
HEROES = ANIMALS + ANIMALS + PEOPLE + CREATURES + CREATURES + MALE + FEMALE
ADJECTIVES = _listed(
    "little, brave, shy, clever, lazy, curious, kind, hungry, lonely, proud, clumsy, sleepy, funny, tiny, grumpy, "
    "careful, cheerful, quiet, stubborn, gentle, friendly, nervous, small, dreamy, patient, noisy, polite, forgetful, "
    "young, old, poor, rich, happy, sad, big, lucky, wise, strange, tired, fearless"
)
THINGS = _listed(
    "lantern, key, map, book, kite, umbrella, drum, flute, guitar, violin, trumpet, bell, whistle, mirror, comb, ring, "
    "necklace, crown, coin, button, needle, basket, bucket, spoon, pot, pan, teapot, cup, plate, bowl, jug, bottle, "
    "candle, lamp, torch, clock, watch, compass, telescope, magnet, ball, balloon, doll, puppet, puzzle, dice, feather, "
    "shell, pearl, stone, crystal, leaf, flower, rose, sunflower, acorn, nut, apple, pear, orange, lemon, melon, "
    "pumpkin, carrot, cake, pie, cookie, pancake, loaf of bread, jar of honey, piece of cheese, egg, ticket, letter, "
    "postcard, notebook, pencil, pen, paintbrush, picture, photo, diary, newspaper, stamp, hat, cap, scarf, coat, "
    "jacket, sweater, glove, shoe, boot, sock, slipper, belt, bag, backpack, suitcase, box, chest, blanket, pillow, "
    "rug, chair, stool, ladder, rope, net, hook, hammer, saw, axe, shovel, broom, brush, towel, bar of soap, sponge, "
    "bicycle, scooter, sled, wheel, oar, anchor, flag, medal, trophy, toy train, toy boat, wooden horse, snow globe, "
    "music box, magic wand, magic carpet, golden feather, silver spoon, red balloon, blue stone, green bottle, "
    "yellow hat, old map, rusty key, tiny seed, big pumpkin, glass marble, walking stick, wooden spoon, star, rainbow, "
    "treasure, secret, robot, boat, tree, piano, camera, radio, phone, cherry, sandwich, flowerpot, birdhouse, wallet"
)
BUILT = _listed(
    "house, boat, raft, bridge, tower, kite, tree house, birdhouse, castle, robot, cart, sled, ship, snowman, rocket, "
    "bench, windmill, lighthouse, bicycle, wagon, flying machine, clock, sandcastle, well, oven, wooden horse, table, "
    "swing, telescope, toy train, hut, fence"
)
PLACES = _listed(
    "in a small forest, in a deep forest, by the sea, near a lake, on a farm, in a castle, on an island, on the moon, "
    "in a big city, in a quiet village, on a high mountain, in a green valley, by a river, in the desert, in the jungle, "
    "in a cave, in a lighthouse, on a ship, on a small boat, in a school, in a library, in a bakery, in a garden, "
    "in a zoo, in a circus, in a museum, at a train station, at the market, in a harbour, under a bridge, in an old mill, "
    "in a hollow tree, in a tree house, under the sea, in a snowy land, at the North Pole, in a swamp, on a meadow, "
    "in a toy shop, in a tall tower, in a hospital, in a hotel, on a space station, in a kitchen, in an attic, "
    "in a cellar, behind a waterfall, at the edge of the forest, in a park, on the roof of a house, in a palace, "
    "in a windmill, in a wooden hut, on a camp site, in a barn, in a cloud castle, on a faraway planet, in a tent, "
    "at the foot of a volcano, in a street full of shops, in a house by the road, on the beach, in an orchard"
)
THEMES = _listed(
    "friendship, courage, kindness, honesty, patience, hope, sharing, trust, curiosity, helping others, love, luck, "
    "forgiveness, hard work, good manners, being different, family, home, dreams, wisdom"
)
DAYS = _listed(
    "a rainy day, a snowy night, a stormy night, a sunny morning, a windy afternoon, the first day of school, "
    "the first day of spring, a foggy morning, a birthday, a summer evening, a cold winter day, a long journey, "
    "a hot summer day, a market day, the last day of the holidays"
)

OPENINGS = (
    "Once upon a time there was {a_hero} named {n}, who lived {p}{with_friend}.",
    "{n} was {a_hero} who lived {p}{with_friend}.",
    "Long ago, {a_hero} called {n} lived {p}{with_friend}.",
    "{P} lived {a_hero} named {n}{with_friend}.",
    "There once was {a_hero} called {n}, who lived {p}{with_friend}.",
    "Not so long ago, {a_hero} named {n} lived {p}{with_friend}.",
    "{A_hero} named {n} lived {p}{with_friend}.",
    "This is the story of {n}, {a_hero} who lived {p}{with_friend}.",
)
FRIENDS = (
    " with {his} best friend, {fn} the {f}",
    " together with {fn}, {a_f}",
    " next door to {a_f} named {fn}",
    " with a good friend, {a_f} called {fn}",
)
TRAITS = (
    "{He} got up early every day and sang while {he} worked.",
    "Everybody there liked {him}, because {he} always had a kind word.",
    "{He} dreamed of seeing something new.",
    "{He} was not very strong, but {he} had a good heart.",
    "Most days were quiet, and {n} liked it that way.",
    "{He} often wondered what the next day would bring.",
    "{He} loved the smell of the morning.",
    "Nothing much ever happened there, until one special day.",
    "{He} liked soup, long walks and good stories.",
    "People said that {n} could make anyone laugh.",
    "{He} did not have much, but {he} was content.",
    "In the evenings {he} sat outside and looked at the stars.",
)
TIMES = (
    "One day", "One morning", "One evening", "One fine day", "One cold night", "One Sunday", "One afternoon",
    "Then one day", "One autumn day", "One spring morning",
)  # fmt: skip
ENDINGS = (
    "From that day on, {n} was never lonely again.",
    "That night {n} fell asleep with a big smile.",
    "{n} went home tired, but very happy.",
    "Even today, people like to tell the story of {n}.",
    "And whenever {n} thought of that day, {he} had to smile.",
    "Nobody was happier than {n}.",
    "{n} never forgot that day.",
    "After that they all had a big feast, and {n} danced until late.",
    "And so it all ended well.",
    "{n} laughed and knew that it had been a good day.",
    "What a day that was for {n}!",
    "Since then {n} has been known as a true hero.",
    "And that is how {n} found out what really matters.",
    "The sun went down, and {n} was at peace.",
)
SLEEPY_ENDINGS = (
    "Then {n} yawned, closed {his} eyes and slept until morning. Good night!",
    "The moon came up, and {n} fell asleep, warm and safe.",
    "That night {n} slept deeply and dreamed of wonderful things. Sleep well!",
)
THEME_ENDINGS = (
    "So {n} learned how much {theme} can mean.",
    "That day {n} understood what {theme} is all about.",
    "And ever since, {n} has told the children about {theme}.",
    "In the end it was {theme} that made everything good.",
)


@dataclass(frozen=True)
class Plot:
    """What happens: the start after `One day`, the middle and the outcome, in some wordings.

    `deed` is what the hero does to the thing: find, lose, want, build or share. Start and outcome
    make sense without the middle, name the hero and the thing, and are one sentence each.
    """

    deed: str
    start: str
    middles: tuple[str, ...]
    outcomes: tuple[str, ...]

    @property
    def has_friend(self) -> bool:
        """Whether the friend takes part."""
        return "{friend}" in self.start + "".join(self.outcomes)


PLOTS = (
    # Finding
    Plot("find", "{n} found {a_t} beside the path", ("{He} asked everybody whose it was, but nobody knew.", "It was covered with dust, so {he} cleaned it until it shone."), ("At last {n} gave the {t} back to the old neighbour who had lost it, and got a warm hug for it.", "In the end an old woman told {n} to keep the {t}, because an honest finder deserves it.")),
    Plot("find", "{n} found {a_t} behind a big stone", ("{He} hid it at first, because {he} wanted to have it all alone. But that was no fun at all.", "At first {he} told nobody. Soon the secret felt too heavy."), ("So {n} showed the {t} to all the others, and they had a wonderful time with it.", "Then {n} put the {t} in the middle of the village, where everyone could enjoy it.")),
    Plot("find", "{n} dug a hole and found {a_t} in it", ("A small note was tied to it. The note said: For somebody who is kind.", "{He} could hardly believe it. How long had it been there?"), ("{n} carried the {t} home and thanked {his} good luck.", "So {n} took the {t} home and gave it the best place in the house.")),
    Plot("find", "{n} and {friend} found {a_t} under a bush", ("Each of them wanted to have it, and they began to quarrel. Then both felt bad about it.", "They looked at it from all sides and wondered who had left it there."), ("At last {friend} had a good idea, and so {n} and {fn} took turns with the {t}.", "In the end {friend} helped {n} to carry the {t} home, and it belonged to both of them.")),
    Plot("find", "{n} saw something shine in the grass, and it was {a_t}", ("When {he} picked it up, {he} heard a soft voice. It said that one wish was free.", "{He} took it up with great care and looked around."), ("So {n} held the {t} tight and made a wish for everyone there, and it came true.", "{n} kept the {t} safe, and it brought {him} good luck for many years.")),
    Plot("find", "{n} lost {his} way in the fog and found {a_t} there", ("{He} was afraid, but {he} took it along. It gave {him} courage.", "{He} sat down, took a deep breath and thought about what to do."), ("With the {t} in {his} arms, {n} walked on bravely until {he} saw the lights of home.", "Holding the {t}, {n} followed the sound of the river and came home safely.")),
    Plot("find", "{n} opened an old door and found {a_t}", ("Nobody had been in that room for a hundred years.", "Behind it everything was dark and quiet, and {his} heart beat fast."), ("{n} took the {t} out into the sun, and everyone came to look at it.", "{n} told the whole village about the {t}, and they made a small museum for it.")),
    Plot("find", "{n} went for a walk with {friend} and found {a_t}", ("It looked broken, and {n} wanted to leave it there.", "\"It is no use to us,\" said {n}. But {fn} was not so sure."), ("In the end {friend} mended the {t} with great care and gave it to {n} as a present.", "Then {friend} showed {n} what the {t} was good for, and they laughed all day long.")),
    Plot("find", "a storm came, and in the morning {n} found {a_t} at {his} door", ("The wind must have carried it a long way.", "{He} asked the birds, and they told {him} of a sad child far away."), ("{n} travelled for three days to bring the {t} back, and found a new friend there.", "So {n} sent the {t} home with the next ship, and a letter of thanks came back.")),
    Plot("find", "{n} went to look for treasure and found only {a_t}", ("At first {he} was sad about it. Then {he} looked again.", "{He} sat down and nearly cried. But the longer {he} looked at it, the more {he} liked it."), ("{n} saw that the {t} was just what {he} needed, and that it was better than gold.", "In the end {n} would not have given away the {t} for all the gold in the world.")),
    # Losing
    Plot("lose", "{n} lost {his} {t}", ("{He} looked under the bed, behind the door and on the roof. It was nowhere.", "{He} looked everywhere and asked everyone, but nobody had seen it."), ("In the evening {n} found the {t} right where {he} had left it, and laughed out loud.", "At last {n} saw the {t} high up in a tree, where a bird had made its nest in it.")),
    Plot("lose", "{n} could not find {his} {t}", ("{He} was so sad that {he} did not even want to eat.", "\"I must have left it somewhere,\" said {n} and began to search."), ("In the end {friend} searched all day long and brought the {t} back to {n}.", "Then {friend} remembered where the {t} was, and together with {n} ran to get it.")),
    Plot("lose", "the wind blew away {n}'s {t}", ("{He} ran after it over hills and fields, but the wind was faster.", "It flew higher and higher, until it was only a small dot."), ("When the wind grew tired, it put the {t} down gently in front of {n}.", "A kind bird caught the {t} and brought it back to {n}.")),
    Plot("lose", "{n} dropped {his} {t} into the water", ("It sank at once, and {n} could not swim so deep.", "{He} tried to reach it with a long stick, but it was too far away."), ("Luckily a friendly fish came up and gave the {t} back to {n}.", "Then {friend} jumped in without fear and brought the {t} up to {n}.")),
    Plot("lose", "a thief took {n}'s {t} and ran away", ("{n} followed the tracks until {he} came to a small, cold hut.", "{He} was angry at first. Then {he} saw that the thief was poor and hungry."), ("The thief was sorry and gave the {t} back, and {n} shared {his} supper with him.", "{n} forgave the thief, got the {t} back, and the two became friends.")),
    Plot("lose", "{n} left {his} {t} on the bus and noticed it much too late", ("{He} ran after the bus, but it was already gone.", "{He} walked from stop to stop and asked each driver."), ("The next day a friendly driver waved to {n} and held the {t} out of the window.", "At the last stop {n} saw the {t}, and beside it sat a child who had guarded it.")),
    Plot("lose", "{n} broke {his} {t}", ("{He} hid the pieces, because {he} was ashamed. That made it even worse.", "There was a loud crack, and then it was very quiet."), ("In the end {n} told the truth, and {friend} helped to mend the {t}.", "Then {n} took some glue and much patience, and soon the {t} was as good as new.")),
    Plot("lose", "{n} gave away {his} {t} to a child who was crying", ("{He} missed it a little, but {he} was not sorry.", "The child stopped crying at once and ran home happily."), ("A week later the child came back with the {t} and a big cake to thank {n}.", "Years later the child, now grown up, gave {n} a new {t}, even more beautiful than the old one.")),
    Plot("lose", "{n} went to get {his} {t}, but it was gone", ("On the floor {he} saw tiny footprints. {He} followed them on tiptoe.", "Only a short note was left: Please forgive me, I needed it."), ("At the end of the garden {n} found the {t}, and a family of mice was sleeping in front of it.", "It turned out that {friend} had borrowed the {t} to make a surprise for {n}.")),
    # Wanting
    Plot("want", "{n} saw {a_t} in a shop window and wanted to have it", ("But {he} had no money, so {he} worked hard for many weeks.", "It cost ten coins, and {n} had only two. So {he} helped the neighbours and saved every coin."), ("At last {n} could buy the {t}, and {he} carried it home as proud as a king.", "When {n} had enough money, {he} bought the {t} and invited all {his} friends to see it.")),
    Plot("want", "{n} wished for {a_t} more than for anything else", ("{He} told the moon about it every night.", "\"If only I had one,\" {he} said to {fn} with a sigh."), ("On {his} birthday {friend} gave {n} a box, and in it was the {t}.", "Then {friend}, who had listened well, made the {t} for {n} in secret.")),
    Plot("want", "{n} set out to get {a_t}", ("The way was long and led over high hills and through dark woods. {He} did not give up.", "{He} packed some bread, put on {his} warmest clothes and marched off."), ("At the end of the world {n} found the {t}, and the way home seemed very short.", "After many days {n} came home with the {t}, and everyone cheered.")),
    Plot("want", "{n} asked an old wizard for {a_t}", ("\"First tell me three good deeds,\" said the wizard. {n} thought for a long time.", "The wizard wanted a song for it, so {n} sang as well as {he} could."), ("The wizard smiled and gave {n} the {t}, because {he} had a good heart.", "The wizard laughed, clapped his hands, and there stood {n} with the {t}.")),
    Plot("want", "{n} needed {a_t} to help a sick neighbour", ("{He} knocked at every door, but nobody had one.", "It was far to the next town, and it was already getting dark."), ("At the very last house {n} got the {t}, and soon the neighbour was well again.", "{n} ran all the way and brought the {t} just in time.")),
    Plot("want", "{n} wanted {a_t}, just like {fn}'s", ("{He} was so jealous that {he} did not want to play anymore.", "{He} asked for it again and again, and at last {fn} had enough."), ("Then {friend} said that such a thing can be shared and brought the {t}, and so {n} and {fn} played with it together.", "At last {friend} offered to share the {t}, and {n} was not jealous anymore.")),
    Plot("want", "{n} heard that a giant had {a_t} and wanted to see it", ("Everyone said that the giant was terrible. {n} knocked at his door all the same.", "{His} knees shook when the giant opened the door."), ("It turned out that the giant was only lonely, and he gave {n} the {t} for a friendly talk.", "The giant was glad about the visit, made tea and let {n} hold the {t}.")),
    Plot("want", "{n} dreamed of {a_t}", ("In the morning {he} drew a picture of it and hung it on the wall.", "{He} could not forget the dream and told everybody about it."), ("Some weeks later {n} found the {t} under a tree, and it looked just as it had in {his} dream.", "{His} neighbours laughed, but soon {n} stood before them with the {t} and the dream had come true.")),
    Plot("want", "{n} took part in a race, because the prize was {a_t}", ("The others were much faster. But halfway one of them fell, and {n} stopped to help.", "{He} practised every day, in the rain and in the sun."), ("{n} came in last, but got the {t} all the same for being so kind.", "To everyone's surprise {n} won, and {he} held the {t} high above {his} head.")),
    # Building
    Plot("build", "{n} decided to build {a_t}", ("{He} gathered wood, nails and rope and worked from morning till night.", "The first one fell over at once. {n} laughed and began again."), ("After a week the {t} was ready, and {n} danced around it with joy.", "When the {t} was ready, everyone came to see what {n} had made.")),
    Plot("build", "{n} and {friend} began to build {a_t}", ("{n} held the nails, and {fn} swung the hammer.", "They quarrelled about the colour, until they saw that half red and half blue was best."), ("When the {t} was ready, {n} and {friend} sat down beside it and ate a big cake.", "In the evening {friend} put up a sign on the {t}, and it said: Made by {n} and {fn}.")),
    Plot("build", "{n} wanted to build {a_t}, but everyone laughed at {him}", ("\"You will never do it,\" they said. {n} only smiled and went on.", "{He} worked at night, when nobody could see it."), ("When the {t} was ready, nobody laughed anymore, and {n} let all of them try it.", "Then the {t} stood there, strong and beautiful, and all of them clapped for {n}.")),
    Plot("build", "{n} built {a_t} out of old boxes", ("It was a little crooked, and the rain came in. But {he} loved it.", "{He} painted it in all the colours that {he} had."), ("When a storm came, the {t} kept {n} and all the small birds safe.", "A great artist saw the {t} and told {n} that it was the best she had ever seen.")),
    Plot("build", "a flood came, and {n} quickly built {a_t}", ("The water rose and rose, and there was no time to lose.", "{He} called everyone to help and told each of them what to do."), ("Thanks to the {t}, {n} could save everyone there.", "When the water was gone, all of them thanked {n} for the {t}.")),
    Plot("build", "{n} made a plan to build {a_t} as a surprise", ("{friend} helped and did not tell anybody.", "It was hard to keep it secret. Once {he} nearly said it by mistake."), ("On the great day {n} and {friend} showed the {t} to everyone, and they could not stop clapping.", "At last {n} and {friend} pulled away the blanket, and there stood the {t}.")),
    Plot("build", "{n} began to build {a_t}, but {he} did not know how", ("{He} read many books and asked many people.", "Everything went wrong: the walls were bent and the nails were too short."), ("Then {friend} showed {n} how to do it, and in the end the {t} turned out well.", "With time {n} learned it step by step, and the {t} became the pride of the place.")),
    Plot("build", "{n} built {a_t} for an old neighbour", ("It was hot, and the work was hard. But {he} whistled all the time.", "{He} wanted no money for it."), ("The neighbour was so happy about the {t} that she told {n} the best stories of her life.", "When the neighbour saw the {t}, she hugged {n} and cried for joy.")),
    # Sharing, giving, being brave
    Plot("share", "{n} got {a_t} as a present", ("{He} did not know who had sent it. There was only a small card with a heart on it.", "{He} was so glad that {he} jumped up and down."), ("Later {n} learned that the {t} had come from {friend}, and gave {fn} a big hug.", "{n} took the {t} everywhere, and soon everyone knew it.")),
    Plot("share", "{n} had {a_t}, and {friend} had nothing to play with", ("At first {n} did not want to share. Then {he} saw how sad {fn} was.", "{n} thought about it for a while, and then {he} had an idea."), ("So {n} lent the {t} to {friend}, and the two of them laughed together until the sun went down.", "In the end {n} and {friend} shared the {t}, and {fn} taught {him} a new game.")),
    Plot("share", "{n} went to the market to sell {his} {t}", ("A rich man offered a bag of gold for it. But a small child looked at it with big eyes.", "All day long nobody wanted to buy it, and it began to rain."), ("{n} gave the {t} to a poor child and went home with a light heart.", "On the way home {n} was glad that {he} still had the {t}, because it was full of good memories.")),
    Plot("share", "{n} heard a strange noise and hid behind {his} {t}", ("The noise came closer and closer. {n} hardly dared to breathe.", "It scratched, it squeaked, and then it was silent."), ("It was only {friend}, and {n} came out from behind the {t} and laughed.", "Then {n} took heart, pushed the {t} aside and saw a tiny mouse that was afraid too.")),
    Plot("share", "{n} wanted to give {a_t} to {friend}", ("{He} wrapped it in paper, but on the way {he} stumbled and the paper tore.", "{He} had saved for it the whole summer."), ("{friend} was so happy about the {t} that {n} felt as if it were {his} own birthday.", "When {n} handed over the {t}, {friend} had a present for {him} too.")),
    Plot("share", "all the lights went out, and {n} had only {his} {t}", ("The children were afraid of the dark. So {n} began to tell a story.", "\"Do not be afraid,\" {n} called. \"Follow my voice!\""), ("{n} beat on the {t} like on a drum, so that everyone could follow the sound home.", "They all sat down around {n} and the {t} and sang until it was light again.")),
    Plot("share", "{n} met a stranger who carried {a_t}", ("The stranger looked tired, so {n} offered him soup and a bed.", "Others ran away from him, but {n} said hello."), ("In the morning the stranger was gone, but the {t} stood there with a note that thanked {n}.", "The stranger gave the {t} to {n} and said that a good heart is rare.")),
    Plot("share", "{n} had to carry {a_t} over the mountains", ("It was heavy, and the path was steep. {He} often had to rest.", "A cold wind blew, and soon it began to snow."), ("Then {friend} came to help, and together with {n} carried the {t} to the other side.", "Step by step {n} went on, and when {he} put down the {t}, everyone cheered.")),
    Plot("share", "{n} learned to do a trick with {a_t}", ("At first it went wrong again and again. {He} practised every evening.", "{He} was so nervous before the show that {his} ears were hot."), ("At the summer fair {n} showed the trick with the {t}, and everybody wanted to see it twice.", "In the end the trick with the {t} worked, and {friend} clapped loudest of all for {n}.")),
    Plot("share", "{n} found a baby bird and put it into a nest beside {his} {t}", ("{He} fed it and kept it warm, day and night.", "It was very weak at first and hardly made a sound."), ("When the bird could fly, it sat on the {t} once more and sang a song for {n}.", "Every spring the bird came back, sat down on the {t} and greeted {n}.")),
)  # fmt: skip
