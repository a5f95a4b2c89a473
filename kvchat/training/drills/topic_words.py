"""Topics that are asked about from several sides: countries, animals, foods, things, jobs."""


def rows(text: str) -> tuple[tuple[str, ...], ...]:
    """Split a table: a row a line, its cells between bars; `-` is a cell with nothing in it."""
    lines = (line.strip() for line in text.strip().splitlines())
    return tuple(
        tuple("" if cell.strip() == "-" else cell.strip() for cell in line.split("|"))
        for line in lines
    )


def words(text: str) -> tuple[str, ...]:
    """Split words at the spaces."""
    return tuple(text.split())


COUNTRIES = rows("""
    France | Paris | French | cheese, bread and wine | Europe | the Eiffel Tower | a big country in Europe | blue, white and red
    Germany | Berlin | German | sausages and bread | Europe | the Brandenburg Gate | a big country in Europe | black, red and gold
    Italy | Rome | Italian | pizza and pasta | Europe | the Colosseum | - | green, white and red
    Spain | Madrid | Spanish | paella and tapas | Europe | the Alhambra | a big country in Europe | red and yellow
    Portugal | Lisbon | Portuguese | fish and custard tarts | Europe | the Tower of Belem | a rather small country | green and red
    Greece | Athens | Greek | olives, feta cheese and moussaka | Europe | the Parthenon | - | blue and white
    Austria | Vienna | German | schnitzel and apple strudel | Europe | Schönbrunn Palace | a rather small country | red and white
    Switzerland | Bern | German, French, Italian and Romansh | cheese and chocolate | Europe | the Matterhorn | a small country | red and white
    Belgium | Brussels | Dutch, French and German | waffles, fries and chocolate | Europe | the Atomium | a small country | black, yellow and red
    the Netherlands | Amsterdam | Dutch | cheese and herring | Europe | the windmills of Kinderdijk | a small country | red, white and blue
    Denmark | Copenhagen | Danish | rye bread and pastries | Europe | the Little Mermaid | a small country | red and white
    Norway | Oslo | Norwegian | salmon and brown cheese | Europe | the Geiranger Fjord | - | red, white and blue
    Sweden | Stockholm | Swedish | meatballs and cinnamon buns | Europe | the Vasa Museum | a big country in Europe | blue and yellow
    Finland | Helsinki | Finnish and Swedish | rye bread and salmon soup | Europe | - | - | white and blue
    Iceland | Reykjavik | Icelandic | fish and lamb | Europe | the Blue Lagoon | a small country | blue, white and red
    Ireland | Dublin | English and Irish | Irish stew and soda bread | Europe | the Cliffs of Moher | a rather small country | green, white and orange
    Poland | Warsaw | Polish | pierogi | Europe | Wawel Castle | a big country in Europe | white and red
    Hungary | Budapest | Hungarian | goulash | Europe | the Chain Bridge | a rather small country | red, white and green
    Romania | Bucharest | Romanian | cabbage rolls | Europe | Bran Castle | - | blue, yellow and red
    Bulgaria | Sofia | Bulgarian | yogurt and banitsa | Europe | the Rila Monastery | - | white, green and red
    Croatia | Zagreb | Croatian | seafood | Europe | the old walls of Dubrovnik | a small country | red, white and blue
    the Czech Republic | Prague | Czech | dumplings | Europe | Charles Bridge | a rather small country | white, red and blue
    Estonia | Tallinn | Estonian | dark rye bread | Europe | - | a small country | blue, black and white
    Latvia | Riga | Latvian | rye bread | Europe | - | a small country | dark red and white
    Lithuania | Vilnius | Lithuanian | cold beet soup | Europe | Trakai Castle | a small country | yellow, green and red
    Ukraine | Kyiv | Ukrainian | borscht | Europe | Saint Sophia Cathedral in Kyiv | a big country in Europe | blue and yellow
    Russia | Moscow | Russian | blini and dumplings | Europe and Asia | the Kremlin | the biggest country in the world | white, blue and red
    Turkey | Ankara | Turkish | kebab and baklava | Asia and Europe | the Hagia Sophia | a big country | red and white
    Egypt | Cairo | Arabic | bean stew and flat bread | Africa | the pyramids of Giza | a big country | red, white and black
    Morocco | Rabat | Arabic and Berber | couscous and tagine | Africa | - | - | red and green
    Kenya | Nairobi | Swahili and English | maize porridge | Africa | - | - | black, red, green and white
    Ethiopia | Addis Ababa | Amharic and many other languages | flat bread called injera | Africa | the rock churches of Lalibela | a big country | green, yellow and red
    Nigeria | Abuja | English and many other languages | jollof rice | Africa | - | a big country | green and white
    Ghana | Accra | English and many other languages | fufu and jollof rice | Africa | - | - | red, yellow and green
    Senegal | Dakar | French and Wolof | rice with fish | Africa | - | - | green, yellow and red
    China | Beijing | Chinese | rice, noodles and dumplings | Asia | the Great Wall | one of the biggest countries in the world | red and yellow
    Japan | Tokyo | Japanese | sushi and noodles | Asia | Mount Fuji | - | white and red
    India | New Delhi | Hindi, English and many other languages | curry and flat bread | Asia | the Taj Mahal | one of the biggest countries in the world | orange, white and green
    Thailand | Bangkok | Thai | noodles and curry | Asia | the Grand Palace | - | red, white and blue
    Vietnam | Hanoi | Vietnamese | noodle soup | Asia | Ha Long Bay | - | red and yellow
    South Korea | Seoul | Korean | kimchi and rice | Asia | - | a rather small country | -
    Nepal | Kathmandu | Nepali | lentils with rice | Asia | Mount Everest | a rather small country | red and blue
    Iran | Tehran | Persian | rice with kebab | Asia | Persepolis | a big country | green, white and red
    the United States | Washington | English | burgers and apple pie | North America | the Statue of Liberty | one of the biggest countries in the world | red, white and blue
    Canada | Ottawa | English and French | maple syrup | North America | the Niagara Falls | one of the biggest countries in the world | red and white
    Mexico | Mexico City | Spanish | tacos and beans | North America | the pyramids of Teotihuacan | a big country | green, white and red
    Cuba | Havana | Spanish | rice and beans | North America | - | - | red, white and blue
    Brazil | Brasilia | Portuguese | beans with rice and meat | South America | the statue of Christ in Rio | one of the biggest countries in the world | green, yellow and blue
    Argentina | Buenos Aires | Spanish | grilled beef | South America | - | a very big country | light blue and white
    Chile | Santiago | Spanish | corn pie and seafood | South America | the statues of Easter Island | a long and narrow country | red, white and blue
    Peru | Lima | Spanish and Quechua | ceviche and potatoes | South America | Machu Picchu | a big country | red and white
    Colombia | Bogota | Spanish | corn cakes and coffee | South America | - | a big country | yellow, blue and red
    Australia | Canberra | English | grilled meat and meat pies | Oceania | the Sydney Opera House | one of the biggest countries in the world | blue, red and white
    New Zealand | Wellington | English and Maori | lamb and kiwi fruit | Oceania | - | - | blue, red and white
    the United Kingdom | London | English | fish and chips | Europe | Big Ben | - | red, white and blue
""")  # fmt: skip
"""Name, capital, languages, food, continent, landmark, size, colours of the flag."""

ANIMALS = rows("""
    cat | kitten | says meow | meat and fish | with people in houses | four | fur | mammal | a small animal
    dog | puppy | barks | meat and dog food | with people in houses | four | fur | mammal | -
    cow | calf | moos | grass and hay | on farms | four | hair | mammal | a big animal
    horse | foal | neighs | grass, hay and oats | on farms and in stables | four | hair | mammal | a big animal
    sheep | lamb | bleats | grass | on farms and meadows | four | wool | mammal | -
    goat | kid | bleats | grass and leaves | on farms and in the mountains | four | hair | mammal | -
    pig | piglet | oinks | plants and scraps | on farms | four | bristles | mammal | -
    donkey | foal | brays | grass and hay | on farms | four | hair | mammal | -
    hen | chick | clucks | grain and worms | on farms | two | feathers | bird | a small animal
    duck | duckling | quacks | water plants and small animals | on ponds and lakes | two | feathers | bird | a small animal
    goose | gosling | honks | grass | on farms and near lakes | two | feathers | bird | -
    swan | cygnet | hisses | water plants | on lakes and rivers | two | feathers | bird | a big bird
    owl | owlet | hoots | mice | in forests and barns | two | feathers | bird | -
    eagle | eaglet | screeches | meat and fish | in the mountains and near water | two | feathers | bird | a big bird
    sparrow | chick | chirps | seeds and insects | near houses and in gardens | two | feathers | bird | a small bird
    crow | chick | caws | nearly everything | in fields, forests and towns | two | feathers | bird | -
    pigeon | squab | coos | seeds and grain | in towns and on cliffs | two | feathers | bird | -
    penguin | chick | - | fish | in the cold south | two | feathers | bird | -
    ostrich | chick | - | plants and insects | on the plains of Africa | two | feathers | bird | the biggest bird of all
    parrot | chick | squawks | fruit, nuts and seeds | in warm forests | two | feathers | bird | -
    lion | cub | roars | meat | on the plains of Africa | four | fur | mammal | a big animal
    tiger | cub | roars | meat | in the forests of Asia | four | striped fur | mammal | a big animal
    leopard | cub | growls | meat | in Africa and Asia | four | spotted fur | mammal | -
    bear | cub | growls | berries, fish and meat | in forests and mountains | four | fur | mammal | a big animal
    polar bear | cub | growls | seals | on the ice of the Arctic | four | white fur | mammal | a big animal
    wolf | pup | howls | meat | in forests | four | fur | mammal | -
    fox | kit | barks | mice, birds and berries | in dens in the woods | four | red fur | mammal | -
    rabbit | kit | - | grass and vegetables | in burrows | four | fur | mammal | a small animal
    hare | leveret | - | grass and herbs | in fields | four | fur | mammal | a small animal
    mouse | pup | squeaks | seeds and grain | in holes | four | fur | mammal | a very small animal
    squirrel | kit | - | nuts and seeds | in trees | four | fur | mammal | a small animal
    hedgehog | hoglet | - | beetles and worms | in gardens and hedges | four | spines | mammal | a small animal
    deer | fawn | - | grass and leaves | in forests | four | fur | mammal | -
    elephant | calf | trumpets | grass, leaves and bark | in Africa and Asia | four | thick skin | mammal | the biggest animal on land
    giraffe | calf | - | leaves | on the plains of Africa | four | spotted fur | mammal | the tallest animal of all
    zebra | foal | - | grass | on the plains of Africa | four | striped fur | mammal | -
    hippo | calf | grunts | grass | in the rivers and lakes of Africa | four | thick skin | mammal | a big animal
    rhino | calf | - | grass and leaves | in Africa and Asia | four | thick skin | mammal | a big animal
    camel | calf | - | grass and thorny plants | in deserts | four | hair | mammal | a big animal
    monkey | - | chatters | fruit and leaves | in warm forests | - | fur | mammal | -
    kangaroo | joey | - | grass | in Australia | - | fur | mammal | -
    koala | joey | - | eucalyptus leaves | in the trees of Australia | - | fur | mammal | a small animal
    panda | cub | - | bamboo | in the mountains of China | four | black and white fur | mammal | a big animal
    bat | pup | squeaks | insects and fruit | in caves and attics | - | fur | mammal | a small animal
    whale | calf | sings | krill and fish | in the sea | no | skin | mammal | a very big animal
    dolphin | calf | clicks and whistles | fish | in the sea | no | skin | mammal | -
    seal | pup | barks | fish | in the sea and on the coast | no | fur | mammal | -
    shark | pup | - | fish and other sea animals | in the sea | no | rough skin | fish | -
    goldfish | - | - | fish food and water plants | in ponds and tanks | no | scales | fish | a small animal
    frog | tadpole | croaks | insects | near ponds | four | smooth skin | amphibian | a small animal
    snake | - | hisses | mice and other small animals | in forests and deserts | no | scales | reptile | -
    crocodile | hatchling | hisses and growls | fish and other animals | in warm rivers | four | scales | reptile | a big animal
    turtle | hatchling | - | plants and small animals | in water and on land | four | a shell | reptile | -
    lizard | hatchling | - | insects | in warm places | four | scales | reptile | a small animal
    bee | larva | buzzes | nectar and pollen | in hives | six | fine hair | insect | a very small animal
    ant | larva | - | seeds, insects and sweet things | in nests in the ground | six | - | insect | a very small animal
    butterfly | caterpillar | - | nectar from flowers | in gardens and meadows | six | tiny scales | insect | a small animal
    fly | maggot | buzzes | sweet and rotten things | nearly everywhere | six | - | insect | a very small animal
    cricket | nymph | chirps | plants and insects | in fields | six | - | insect | a small animal
    spider | spiderling | - | insects | in webs and corners | eight | fine hair | animal with eight legs | a small animal
    octopus | - | - | crabs and fish | in the sea | - | soft skin | sea animal without bones | -
    crab | - | - | plants and small animals | on the shore and in the sea | ten | a shell | sea animal with a shell | a small animal
    snail | - | - | leaves | in damp gardens | no | slimy skin and a shell | soft animal with a shell | a small animal
    worm | - | - | dead leaves and soil | in the ground | no | wet skin | animal without bones | a small animal
""")  # fmt: skip
"""Name, young, sound, food, home, legs, cover, class, size."""

FOODS = rows("""
    lemon | yellow | sour | fruit | on trees
    apple | red, green or yellow | sweet and a little sour | fruit | on trees
    banana | yellow | sweet | fruit | on big plants in warm countries
    orange | orange | sweet and a little sour | fruit | on trees
    cherry | red | sweet | fruit | on trees
    strawberry | red | sweet | fruit | on low plants
    pear | green or yellow | sweet | fruit | on trees
    plum | purple or yellow | sweet | fruit | on trees
    peach | orange and red | sweet | fruit | on trees
    lime | green | sour | fruit | on trees
    grape | green or purple | sweet | fruit | on vines
    blueberry | blue | sweet | fruit | on bushes
    raspberry | red | sweet and a little sour | fruit | on bushes
    kiwi | brown outside and green inside | sweet and sour | fruit | on vines
    pineapple | brown outside and yellow inside | sweet and sour | fruit | on low plants in warm countries
    coconut | brown outside and white inside | mild and sweet | fruit | on palm trees
    carrot | orange | a little sweet | vegetable | under the ground
    potato | brown or yellow | mild | vegetable | under the ground
    onion | brown, red or white | sharp | vegetable | in the ground
    cucumber | green | fresh and mild | vegetable | on vines
    cabbage | green or red | mild | vegetable | close to the ground
    pumpkin | orange | mild and a little sweet | vegetable | on vines on the ground
    radish | red outside and white inside | hot and fresh | vegetable | under the ground
    beetroot | dark red | sweet and earthy | vegetable | under the ground
    leek | white and green | like a mild onion | vegetable | in the ground
    spinach leaf | green | mild and a little bitter | vegetable | close to the ground
    walnut | brown | nutty | nut | on trees
    hazelnut | brown | nutty | nut | on bushes
    almond | brown | nutty and a little sweet | nut | on trees
""")  # fmt: skip
"""Name, colour, taste, kind, where it grows."""

THINGS = rows("""
    hammer | driving nails in | metal and wood | in a toolbox
    saw | cutting wood | metal | in a workshop
    screwdriver | turning screws | metal and plastic | in a toolbox
    knife | cutting | metal | in a kitchen
    spoon | eating soup | metal | in a kitchen
    fork | eating solid food | metal | in a kitchen
    cup | drinking tea or coffee | china | in a kitchen
    plate | eating from | china | in a kitchen
    kettle | boiling water | metal or plastic | in a kitchen
    pan | frying food | metal | in a kitchen
    fridge | keeping food cold | metal and plastic | in a kitchen
    oven | baking and roasting | metal and glass | in a kitchen
    broom | sweeping the floor | wood and bristles | in a cupboard
    bucket | carrying water | plastic or metal | in a shed or a cellar
    sponge | washing up | foam | next to the sink
    towel | drying yourself | cotton | in a bathroom
    toothbrush | cleaning your teeth | plastic | in a bathroom
    comb | tidying your hair | plastic or wood | in a bathroom
    mirror | seeing yourself | glass | in a bathroom
    bed | sleeping | wood or metal | in a bedroom
    pillow | resting your head | cloth and feathers or foam | on a bed
    blanket | keeping warm | wool or cotton | on a bed
    lamp | giving light | metal and glass | in nearly every room
    candle | giving light | wax | on a table
    chair | sitting | wood, metal or plastic | at a table
    table | eating and working at | wood | in a kitchen or a dining room
    bookshelf | holding books | wood | in a living room or a library
    clock | telling the time | metal, plastic or wood | on a wall
    window | letting in light and air | glass | in the wall of a house
    key | opening locks | metal | in a pocket or a bag
    umbrella | keeping off the rain | cloth and metal | near the front door
    coat | keeping warm outside | wool or other cloth | on a hook in the hall
    raincoat | staying dry in the rain | waterproof cloth | on a hook in the hall
    pencil | writing and drawing | wood and graphite | in a pencil case
    eraser | rubbing out pencil marks | rubber | in a pencil case
    ruler | measuring and drawing lines | wood or plastic | in a pencil case
    book | reading | paper | in a library
    letter | sending news to somebody | paper | in a letter box
    blackboard | writing on with chalk | slate or painted wood | in a classroom
    needle | sewing | metal | in a sewing box
    rope | tying and pulling things | fibres | on a boat
    ladder | climbing up to high places | wood or metal | in a shed
    shovel | digging | metal and wood | in a garden shed
    watering can | watering plants | metal or plastic | in a garden
    tent | sleeping outdoors | cloth | on a camp site
    thermometer | measuring how warm it is | glass or plastic | on a wall or in a medicine box
    telescope | looking at the stars | metal and glass | in an observatory
    microscope | looking at very small things | metal and glass | in a laboratory
    camera | taking pictures | plastic, metal and glass | in a bag or a phone
    bicycle | riding | metal and rubber | in a shed or a garage
    helmet | protecting your head | plastic and foam | where people ride bicycles
    bell | making a ringing sound | metal | in a church tower
    kite | playing in the wind | paper or cloth and sticks | in the sky on windy days
    coin | paying | metal | in a purse
    purse | keeping money | leather or cloth | in a bag
    scale | weighing things | metal and plastic | in a kitchen or a shop
    compass | finding north | metal and glass | in the bag of a hiker
    anchor | holding a ship in its place | metal | on a ship
""")  # fmt: skip
"""Name, what it is for, what it is made of, where it is found."""

JOBS = rows("""
    baker | bakes bread and cakes | in a bakery | an oven
    teacher | teaches children | in a school | books and a board
    doctor | helps sick people | in a hospital or a practice | a stethoscope
    nurse | cares for sick people | in a hospital | a thermometer
    dentist | looks after people's teeth | in a dental practice | a drill and a mirror
    farmer | grows food and keeps animals | on a farm | a tractor
    pilot | flies planes | in a cockpit | a plane
    cook | makes meals | in a kitchen | pots and pans
    waiter | brings food to the table | in a restaurant | a tray
    carpenter | makes things of wood | in a workshop | a saw and a hammer
    plumber | repairs water pipes | in houses | a wrench
    electrician | repairs electric wires | in houses | pliers and wire
    mechanic | repairs cars | in a garage | a wrench
    painter | paints walls or pictures | in houses or a studio | a brush
    gardener | looks after plants | in gardens | a spade
    tailor | makes clothes | in a workshop | a needle and thread
    hairdresser | cuts hair | in a hair salon | scissors and a comb
    butcher | cuts and sells meat | in a butcher's shop | a knife
    fisherman | catches fish | on a boat | a net
    miner | digs for coal or metal | in a mine | a drill
    firefighter | puts out fires | at a fire station | a hose
    police officer | keeps people safe | at a police station | a radio
    judge | decides in court | in a court | law books
    lawyer | helps people with the law | in an office or a court | law books
    librarian | looks after books | in a library | a catalogue
    writer | writes books | at a desk | a pen or a computer
    photographer | takes pictures | in a studio or outdoors | a camera
    musician | makes music | on a stage | an instrument
    actor | plays a part in films or plays | in a theatre or on a film set | a script
    scientist | studies how the world works | in a laboratory | a microscope
    astronomer | studies the stars | in an observatory | a telescope
    vet | helps sick animals | in an animal clinic | a stethoscope
    postman | brings letters | in the streets | a bag
    bus driver | drives a bus | on the road | a bus
    sailor | works on a ship | at sea | ropes
    architect | plans buildings | in an office | a ruler and a computer
    bricklayer | builds walls | on a building site | a trowel
    shoemaker | makes and repairs shoes | in a workshop | leather and a hammer
    blacksmith | makes things of iron | in a forge | a hammer and an anvil
    cleaner | keeps rooms clean | in offices and houses | a broom and a mop
    shop assistant | sells things | in a shop | a till
    programmer | writes computer programs | in an office | a computer
    astronaut | travels into space | in a spaceship | a space suit
    clown | makes people laugh | in a circus | a red nose
    beekeeper | looks after bees | near beehives | a net over the face
""")  # fmt: skip
"""Name, what such a person does, where, with what."""
