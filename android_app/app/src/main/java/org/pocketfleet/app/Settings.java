package org.pocketfleet.app;

import org.pocketfleet.readiness.ReadinessPolicy;

/** What a person, or a script, has chosen. Immutable; {@link SettingsStore} keeps it. */
final class Settings {
  final String server;
  final String ca;
  final String trust;
  final boolean insecure;
  final String name;
  final String processor;
  final String profile;
  final String data;
  final String testData;
  final String bundle;
  final boolean gated;
  final boolean chargingOnly;
  final boolean unmeteredOnly;
  final boolean idleOnly;
  final boolean background;
  final boolean wanted;
  final long maxRounds;
  final long endAtMs;
  final String results;
  final long giveUpAfterS;

  Settings(Builder builder) {
    server = builder.server;
    ca = builder.ca;
    trust = builder.trust;
    insecure = builder.insecure;
    name = builder.name;
    processor = builder.processor;
    profile = builder.profile;
    data = builder.data;
    testData = builder.testData;
    bundle = builder.bundle;
    gated = builder.gated;
    chargingOnly = builder.chargingOnly;
    unmeteredOnly = builder.unmeteredOnly;
    idleOnly = builder.idleOnly;
    background = builder.background;
    wanted = builder.wanted;
    maxRounds = builder.maxRounds;
    endAtMs = builder.endAtMs;
    results = builder.results;
    giveUpAfterS = builder.giveUpAfterS;
  }

  /** When the device may work. */
  ReadinessPolicy policy() {
    return new ReadinessPolicy.Builder()
        .chargingOnly(chargingOnly)
        .unmeteredOnly(unmeteredOnly)
        .idleOnly(idleOnly)
        .build();
  }

  /** A builder that begins with these. */
  Builder change() {
    Builder builder = new Builder();
    builder.server = server;
    builder.ca = ca;
    builder.trust = trust;
    builder.insecure = insecure;
    builder.name = name;
    builder.processor = processor;
    builder.profile = profile;
    builder.data = data;
    builder.testData = testData;
    builder.bundle = bundle;
    builder.gated = gated;
    builder.chargingOnly = chargingOnly;
    builder.unmeteredOnly = unmeteredOnly;
    builder.idleOnly = idleOnly;
    builder.background = background;
    builder.wanted = wanted;
    builder.maxRounds = maxRounds;
    builder.endAtMs = endAtMs;
    builder.results = results;
    builder.giveUpAfterS = giveUpAfterS;
    return builder;
  }

  /** Settings in the making; an empty text means "none". */
  static final class Builder {
    /** {@code HOST:PORT}. */
    String server = "";

    /** PEM of the authority behind the server's certificate. */
    String ca = "";

    /** PEM of the key that signs models. */
    String trust = "";

    /** Plain HTTP. */
    boolean insecure;

    /** Name in reports. */
    String name = "";

    /** Class of the processor, whose cutoff applies. */
    String processor = "cpu";

    /** Device profile, for a modelled energy figure. */
    String profile = "generic";

    /** File or folder of the training data. */
    String data = "";

    /** File or folder of the device's own test data. */
    String testData = "";

    /** A bundle that was pushed as a file; empty: the server sends it. */
    String bundle = "";

    /** Whether the policy applies at all. */
    boolean gated = true;

    boolean chargingOnly = true;
    boolean unmeteredOnly = true;
    boolean idleOnly;

    /** Whether Android may start rounds by itself. */
    boolean background;

    /** Whether the person has switched it on, and not off again. */
    boolean wanted;

    /** Training rounds after which to stop; 0: none. */
    long maxRounds;

    /** When to stop, in milliseconds since the epoch; 0: never. */
    long endAtMs;

    /** Suffix of the folder of results. */
    String results = "";

    /** End when the server does not answer for this long; 0: never. */
    long giveUpAfterS;

    Settings build() {
      return new Settings(this);
    }
  }
}
