"""Class names of the larger data sets, in the order of their labels."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


CIFAR100 = _names("""
apple; aquarium fish; baby; bear; beaver; bed; bee; beetle; bicycle; bottle; bowl; boy; bridge; bus; butterfly;
camel; can; castle; caterpillar; cattle; chair; chimpanzee; clock; cloud; cockroach; couch; crab; crocodile;
cup; dinosaur; dolphin; elephant; flatfish; forest; fox; girl; hamster; house; kangaroo; keyboard; lamp; lawn
mower; leopard; lion; lizard; lobster; man; maple tree; motorcycle; mountain; mouse; mushroom; oak tree; orange;
orchid; otter; palm tree; pear; pickup truck; pine tree; plain; plate; poppy; porcupine; possum; rabbit;
raccoon; ray; road; rocket; rose; sea; seal; shark; shrew; skunk; skyscraper; snail; snake; spider; squirrel;
streetcar; sunflower; sweet pepper; table; tank; telephone; television; tiger; tractor; train; trout; tulip;
turtle; wardrobe; whale; willow tree; wolf; woman; worm
""")
"""In the order of its authors."""

GTSRB = _names("""
speed limit 20; speed limit 30; speed limit 50; speed limit 60; speed limit 70; speed limit 80; end of speed
limit 80; speed limit 100; speed limit 120; no passing; no passing for trucks; right of way at next crossing;
priority road; yield; stop; no vehicles; no trucks; no entry; danger; bend to the left; bend to the right;
double bend; bumpy road; slippery road; road narrows on the right; road works; traffic lights; pedestrians;
children crossing; bicycles crossing; ice or snow; wild animals; end of all limits; turn right ahead; turn left
ahead; ahead only; straight on or right; straight on or left; keep right; keep left; roundabout; end of no
passing; end of no passing for trucks
""")
"""In the order in which its authors number the signs."""

TINY_IMAGENET = _names("""
goldfish; European fire salamander; bullfrog; tailed frog; American alligator; boa constrictor; trilobite;
scorpion; black widow; tarantula; centipede; goose; koala; jellyfish; brain coral; snail; slug; sea slug;
American lobster; spiny lobster; black stork; king penguin; albatross; dugong; Chihuahua; Yorkshire terrier;
golden retriever; Labrador retriever; German shepherd; standard poodle; tabby; Persian cat; Egyptian cat;
cougar; lion; brown bear; ladybug; fly; bee; grasshopper; walking stick; cockroach; mantis; dragonfly; monarch;
sulphur butterfly; sea cucumber; guinea pig; hog; ox; bison; bighorn; gazelle; Arabian camel; orangutan;
chimpanzee; baboon; African elephant; lesser panda; abacus; academic gown; altar; apron; backpack;
bannister; barbershop; barn; barrel; basketball; bathtub; beach wagon; beacon; beaker; beer bottle; bikini;
binoculars; birdhouse; bow tie; brass; broom; bucket; bullet train; butcher shop; candle; cannon; cardigan; cash
machine; CD player; chain; chest; Christmas stocking; cliff dwelling; computer keyboard; confectionery;
convertible; crane; dam; desk; dining table; drumstick; dumbbell; flagpole; fountain; freight car; frying pan;
fur coat; gasmask; go-kart; gondola; hourglass; iPod; jinrikisha; kimono; lampshade; lawn mower; lifeboat;
limousine; magnetic compass; maypole; military uniform; miniskirt; moving van; nail; neck brace; obelisk; oboe;
organ; parking meter; pay-phone; picket fence; pill bottle; plunger; pole; police van; poncho; pop bottle;
potter's wheel; projectile; punching bag; reel; refrigerator; remote control; rocking chair; rugby ball; sandal;
school bus; scoreboard; sewing machine; snorkel; sock; sombrero; space heater; spider web; sports car; steel
arch bridge; stopwatch; sunglasses; suspension bridge; swimming trunks; syringe; teapot; teddy; thatch; torch;
tractor; triumphal arch; trolleybus; turnstile; umbrella; vestment; viaduct; volleyball; water jug; water tower;
wok; wooden spoon; comic book; plate; guacamole; ice cream; ice lolly; pretzel; mashed potato; cauliflower; bell
pepper; mushroom; orange; lemon; banana; pomegranate; meat loaf; pizza; potpie; espresso; alp; cliff; coral
reef; lakeside; seashore; acorn
""")
"""The first word of each synset; labels follow the synsets' numbers (wnids) in order."""
