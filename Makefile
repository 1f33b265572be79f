# One command each; every target makes what it needs. `make help` lists them.
PYTHON ?= $(shell command -v python3.11)
PYTHON313 ?= $(shell for p in python3.13 $(HOME)/.pyenv/versions/3.13.*/bin/python3.13; \
	do "$$p" -c "" 2>/dev/null && command -v "$$p" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
CACHE ?= $(or $(HUND_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hund)
export HUND_CACHE := $(CACHE)
MODELS := hund_backend/weights/perception/.complete
ROOT_SOURCES := $(wildcard *.py) bridge operators panels hund_backend tests benchmarks tools

.DEFAULT_GOAL := help
.PHONY: help setup blender-setup demo zip zip-linux test test-backend test-blender test-ui check format bench faces priors tiny bench-priors hund bench-hund accuracy bench-regimes parts bench-parts evaluate doctor clean hands contacts builds

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(VENV)/.complete $(MODELS)  ## make the environment and fetch the pinned networks
	@git config core.hooksPath .githooks 2>/dev/null || true

$(VENV)/.complete: requirements/dev.lock
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "Python 3.11 is missing: install it, or name it with 'make PYTHON=/path/to/python3.11 …'."; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(MODELS): $(VENV)/.complete tools/fetch_models.py hund_backend/weights/perception/manifest.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm, then run this again."; exit 1; }
	$(RUN) -m tools.fetch_models
	@touch $@

# Blender 4.2 to 5.0 have Python 3.11, from 5.1 on 3.13.
blender-setup: .venv-blender-4.2/.complete .venv-blender-4.5/.complete  ## make an environment for each Blender
	@if [ -n "$(PYTHON313)" ]; then $(MAKE) --no-print-directory .venv-blender-5.2/.complete; \
	else echo "Blender 5.2 is left out: Python 3.13 is missing; install it, or name it with 'make PYTHON313=/path/to/python3.13 …'."; \
	test -z "$$CI"; fi

.venv-blender-%/.complete: requirements/blender-%.lock tools/make_blender_env.sh $(VENV)/.complete
	tools/make_blender_env.sh $* "$(if $(filter 5.2,$*),$(PYTHON313),$(PYTHON))"

demo: setup  ## a real clip: out/demo.npz, overlay video, contact sheet; demo.blend and demo.png
	@mkdir -p out
	@$(MAKE) --no-print-directory .venv-blender-4.5/.complete || echo "The scene is left out."
	$(RUN) -m tools.demo --output out

zip: setup .venv-blender-4.5/.complete  ## build the extension: dist/hund-*.zip, the light one and one for each system and Python
	$(RUN) -m tools.build_zip

zip-linux: setup .venv-blender-4.5/.complete  ## build the two zips that the tests install
	$(RUN) -m tools.build_zip light linux-x64-blender-4.2-to-5.0

test: setup blender-setup  ## run the tests of the backend and those in every Blender
	tools/test.sh blender backend

test-backend: setup  ## run the tests that need no Blender
	tools/test.sh backend

test-blender: blender-setup  ## run the tests in every Blender
	tools/test.sh blender

test-ui: zip-linux blender-setup  ## run the tests that install the zips, one of them in a Blender with a window
	tools/test.sh ui

check: $(VENV)/.complete  ## formatting and lint
	$(RUN) -m ruff format --check $(ROOT_SOURCES)
	$(RUN) -m ruff check $(ROOT_SOURCES)

format: $(VENV)/.complete  ## format and mend what can be mended
	$(RUN) -m ruff format $(ROOT_SOURCES)
	$(RUN) -m ruff check --fix $(ROOT_SOURCES)

bench: setup  ## speed and memory of the job beside the official mediapipe, in one run
	$(RUN) -m benchmarks.job
	$(RUN) -m benchmarks.memory

priors: setup  ## train the priors anew: make priors MOCAP=folder HANDS=folder
	$(RUN) -m hund_backend.training.priors.fit_gaussian $(MOCAP)
	$(RUN) -m hund_backend.training.priors.train_pose_flow $(MOCAP)
	$(RUN) -m hund_backend.training.priors.train_hand_flow $(HANDS) $(MOCAP)
	$(RUN) -m hund_backend.training.priors.train_dynamics $(MOCAP)

faces: setup  ## make synthetic faces, fit the face model and train its networks anew: make faces PRESETS=face_presets.json CLIPS="clips of faces"
	$(RUN) -m hund_backend.training.faces.generate $(CACHE)/faces.npz $(PRESETS) --people 80
	$(RUN) -m hund_backend.training.faces.generate $(CACHE)/more_faces.npz $(PRESETS) --first 80 --people 160
	$(RUN) -m hund_backend.training.faces.generate $(CACHE)/other_faces.npz $(PRESETS) --first 1000 --people 30
	$(RUN) -m hund_backend.training.faces.fit_face $(CACHE)/faces.npz
	$(RUN) -m hund_backend.training.faces.train_face_hund $(CACHE)/faces.npz $(CACHE)/more_faces.npz --validation $(CACHE)/other_faces.npz
	$(RUN) -m hund_backend.training.faces.generate_visibility $(CACHE)/visible_faces.npz $(PRESETS) --clips $(CLIPS)
	$(RUN) -m hund_backend.training.faces.train_face_visibility $(CACHE)/visible_faces.npz

hands: setup  ## train the descent of hands anew, with scenery (make parts): make hands MOCAP=folder HANDS=folder [CLIPS="a.mp4 b.mp4"]
	$(RUN) -m hund_backend.training.hands.detections $(HANDS) $(MOCAP) $(CACHE)/hand_detections --scenery $(CACHE)/scenery --processes $(CORES)
	$(if $(CLIPS),$(RUN) -m hund_backend.training.hands.clip_detections $(CACHE)/hand_clips $(CLIPS))
	$(RUN) -m hund_backend.training.hands.train_hand_hund $(HANDS) $(MOCAP) $(CACHE)/hand_detections $(if $(CLIPS),--clips $(CACHE)/hand_clips)

contacts: setup  ## train the contact network anew: make contacts MOCAP=folder
	for seed in 0 1 2 3 4 5; do $(RUN) -m hund_backend.training.motion.contact_examples $(MOCAP) \
		out/contact_examples_$$seed.safetensors --seed $$seed || exit 1; done
	$(RUN) -m hund_backend.training.motion.train_contacts out/contact_examples_?.safetensors

tiny: $(VENV)/.complete  ## train priors and HUND at a small size, in two minutes: out/tiny/summary.md, curve.png
	$(RUN) -m hund_backend.training.tiny $(MOCAP) --output out/tiny

bench-priors: setup  ## compare priors, dynamics, and the fit under them: make bench-priors MOCAP=folder
	$(RUN) -m benchmarks.priors $(MOCAP) --save
	$(RUN) -m benchmarks.dynamics $(MOCAP) --save
	$(RUN) -m benchmarks.fit $(MOCAP) --dynamics --save

hund: setup  ## train the learned descent anew, after pictures were made (make parts): make hund MOCAP=folder
	$(RUN) -m hund_backend.training.hund.detections $(CACHE)/pictures $(CACHE)/detections --processes $(CORES)
	$(RUN) -m hund_backend.training.hund.train_hund $(MOCAP) $(CACHE)/detections --batch 160

builds: setup  ## train the build network anew, after the detections (make hund)
	$(RUN) -m hund_backend.training.builds.samples $(CACHE)/pictures $(CACHE)/detections $(CACHE)/build_samples --processes $(CORES)
	$(RUN) -m hund_backend.training.builds.train_build $(CACHE)/build_samples

bench-hund: setup  ## the learned descent against gradients, over clips, and without its parts: make bench-hund MOCAP=folder
	$(RUN) -m benchmarks.hund $(MOCAP) $(CACHE)/detections --save
	$(RUN) -m benchmarks.hund_clips $(MOCAP) --save
	$(RUN) -m benchmarks.hund_ablations $(MOCAP) $(CACHE)/detections --lines $(CACHE)/hund_ablations.lines --save

accuracy: setup  ## accuracy of HUND's weights on everything with a known truth: make accuracy EVAL=folder MOCAP=folder [HUND="weights weights"]
	$(RUN) -m benchmarks.accuracy $(EVAL) $(MOCAP) $(CACHE)/detections $(CACHE)/rendered_clips $(if $(HUND),--hund $(HUND)) --save

bench-regimes: setup  ## what the descent learns from real people: make bench-regimes MOCAP=folder LEARN="clip clip" JUDGE="clip clip"
	$(RUN) -m benchmarks.hund_regimes $(MOCAP) $(CACHE)/detections --learn $(LEARN) --judge $(JUDGE) --save

parts: setup  ## make pictures and train the part head anew: make parts MOCAP=folder
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps OpenEXR==3.3.5
	$(RUN) -m tools.fetch_scenery
	$(RUN) -m hund_backend.training.pictures.generate $(MOCAP) --scenery $(CACHE)/scenery --output $(CACHE)/pictures --processes $(CORES)
	$(RUN) -m hund_backend.training.parts.features $(CACHE)/pictures $(CACHE)/part_features --processes $(CORES)
	$(RUN) -m hund_backend.training.parts.train_parts $(CACHE)/part_features

bench-parts: setup  ## renderer, part head, and the fit with parts: make bench-parts MOCAP=folder KITS="folder folder"
	$(RUN) -m benchmarks.renderer $(MOCAP) --save
	$(RUN) -m benchmarks.parts $(CACHE)/part_features $(CACHE)/pictures --kits $(KITS) --save
	$(RUN) -m benchmarks.alignment --pictures $(CACHE)/pictures --save
	$(RUN) -m benchmarks.alignment_clips $(MOCAP) --save
	$(RUN) -m benchmarks.kits $(KITS) --save

evaluate: setup  ## score data kits: make evaluate KITS="folder folder"
	$(RUN) -m hund_backend evaluate $(KITS) --output out/evaluation

doctor: setup  ## say what is installed and whether it works
	$(RUN) -m hund_backend doctor

clean:  ## remove what was made here; the cache stays
	rm -rf $(VENV) .venv-blender-* out dist .pytest_cache .ruff_cache .hypothesis
