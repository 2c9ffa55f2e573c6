package org.pocketfleet.app;

/** What the client is doing, at one moment. Immutable. */
final class Status {
  /** Where it is in its life. */
  enum Phase {
    STOPPED,
    STARTING,
    WAITING,
    WORKING,
    DECLINED,
    TROUBLE,
    FAILED
  }

  static final Status STOPPED = new Status(Phase.STOPPED, "", 0, 0, 0, "");

  final Phase phase;

  /** Kind of the task at hand: train, evaluate, query. */
  final String task;

  /** The round at hand; 0: none. */
  final long round;

  final long step;

  /** Steps planned; 0: not known. */
  final long steps;

  /** What there is to say about it, in words. */
  final String words;

  Status(Phase phase, String task, long round, long step, long steps, String words) {
    this.phase = phase;
    this.task = task;
    this.round = round;
    this.step = step;
    this.steps = steps;
    this.words = words;
  }

  /** Whether a client is there. */
  boolean running() {
    return phase != Phase.STOPPED && phase != Phase.FAILED;
  }

  /** What the phase is called in one line for people. */
  String headline() {
    switch (phase) {
      case STARTING:
        return "Connecting";
      case WAITING:
        return "Ready";
      case WORKING:
        return task.equals("train")
            ? "Training"
            : task.equals("evaluate") ? "Testing" : "Answering";
      case DECLINED:
        return "Not now";
      case TROUBLE:
        return "Trouble";
      case FAILED:
        return "Stopped by a problem";
      default:
        return "Off";
    }
  }

  /** More about it, in a line or two for people; may be empty. */
  String detail() {
    if (phase == Phase.WORKING) {
      StringBuilder text = new StringBuilder(round > 0 ? "Round " + round : "");
      if (steps > 0) {
        text.append(text.length() > 0 ? ", step " : "Step ")
            .append(step)
            .append(" of ")
            .append(steps);
      }
      return text.toString();
    }
    if (phase == Phase.WAITING && words.isEmpty()) {
      return "Waiting for the server to ask for work.";
    }
    if (phase == Phase.STARTING && words.isEmpty()) {
      return "Asking the server to let this phone in.";
    }
    return words;
  }
}
