package org.pocketfleet.transport;

import java.io.File;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.function.DoubleSupplier;
import org.pocketfleet.SettingsException;

/** Where a client works for whom. */
public final class ClientConfig {
  private static final double SHORTEST_HEARTBEAT_S = 10;
  private static final double LONGEST_HEARTBEAT_S = 1800;

  private final String server;
  private final File stateDirectory;
  private final byte[] caPem;
  private final Set<String> pinnedKeys;
  private final boolean insecure;
  private final double heartbeatS;
  private final double giveUpAfterS;
  private final double pollShortestS;
  private final double pollLongestS;
  private final double leaveWithinS;
  private final long maxMessageBytes;
  private final double silenceS;
  private final DoubleSupplier localTime;

  private ClientConfig(Builder builder) {
    server = builder.server;
    stateDirectory = builder.stateDirectory;
    caPem = builder.caPem == null ? null : builder.caPem.clone();
    pinnedKeys = Collections.unmodifiableSet(new HashSet<>(builder.pinnedKeys));
    insecure = builder.insecure;
    heartbeatS = builder.heartbeatS;
    giveUpAfterS = builder.giveUpAfterS;
    pollShortestS = builder.pollShortestS;
    pollLongestS = builder.pollLongestS;
    leaveWithinS = builder.leaveWithinS;
    maxMessageBytes = builder.maxMessageBytes;
    silenceS = builder.silenceS;
    localTime = builder.localTime;
  }

  /** Starts with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** {@code HOST:PORT} of the server. */
  public String server() {
    return server;
  }

  /** The client's own directory. */
  public File stateDirectory() {
    return stateDirectory;
  }

  /** Certificates of the authorities that may vouch for the server, as PEM; null: the system's. */
  public byte[] caPem() {
    return caPem == null ? null : caPem.clone();
  }

  /** Base64 of the SHA-256 of public keys, one of which the server must have; empty: any. */
  public Set<String> pinnedKeys() {
    return pinnedKeys;
  }

  /** Plain HTTP instead of TLS. */
  public boolean insecure() {
    return insecure;
  }

  /** Seconds; the server counts the client as gone after twice as long without a sign of life. */
  public double heartbeatSeconds() {
    return heartbeatS;
  }

  /** How long to go on trying while the server does not answer or admit us; 0: for ever. */
  public double giveUpAfterSeconds() {
    return giveUpAfterS;
  }

  /** Shortest wait between two questions for work, in seconds. */
  public double pollShortestSeconds() {
    return pollShortestS;
  }

  /** Longest wait between two questions for work, in seconds. */
  public double pollLongestSeconds() {
    return pollLongestS;
  }

  /** When leaving, how long to wait for the server to look at the last reply, in seconds. */
  public double leaveWithinSeconds() {
    return leaveWithinS;
  }

  /** Most bytes of arrays to accept in one message. */
  public long maxMessageBytes() {
    return maxMessageBytes;
  }

  /** Longest silence of the server during a call, in seconds. */
  public double silenceSeconds() {
    return silenceS;
  }

  /** The device's clock, in seconds since the epoch. */
  public DoubleSupplier localTime() {
    return localTime;
  }

  /** Collects settings; see the methods of {@link ClientConfig}. */
  public static final class Builder {
    private String server = "";
    private File stateDirectory;
    private byte[] caPem;
    private final Set<String> pinnedKeys = new LinkedHashSet<>();
    private boolean insecure;
    private double heartbeatS = 60;
    private double giveUpAfterS = 600;
    private double pollShortestS = 0.05;
    private double pollLongestS = 5;
    private double leaveWithinS = 15;
    private long maxMessageBytes = 1L << 30;
    private double silenceS = 60;
    private DoubleSupplier localTime = () -> System.currentTimeMillis() / 1000.0;

    private Builder() {}

    /** {@code HOST:PORT} of the server; an IPv6 address in brackets. Required. */
    public Builder server(String value) {
      server = value;
      return this;
    }

    /** The client's own directory; no two clients may share one. Required. */
    public Builder stateDirectory(File value) {
      stateDirectory = value;
      return this;
    }

    /** Certificates of the authorities that may vouch for the server. */
    public Builder caPem(byte[] value) {
      caPem = value == null ? null : value.clone();
      return this;
    }

    /** Base64 of the SHA-256 of a public key (SubjectPublicKeyInfo) that the server may have. */
    public Builder pinnedKey(String value) {
      pinnedKeys.add(value);
      return this;
    }

    /** Whether to speak plain HTTP: anyone on the way can read and change what travels. */
    public Builder insecure(boolean value) {
      insecure = value;
      return this;
    }

    /** 10 to 1800. */
    public Builder heartbeatSeconds(double value) {
      heartbeatS = value;
      return this;
    }

    /** 0: never. */
    public Builder giveUpAfterSeconds(double value) {
      giveUpAfterS = value;
      return this;
    }

    /** Positive. */
    public Builder pollShortestSeconds(double value) {
      pollShortestS = value;
      return this;
    }

    /** At least the shortest. A phone on battery may ask rarely. */
    public Builder pollLongestSeconds(double value) {
      pollLongestS = value;
      return this;
    }

    /** 0: do not wait. */
    public Builder leaveWithinSeconds(double value) {
      leaveWithinS = value;
      return this;
    }

    /** What the device's memory can hold. */
    public Builder maxMessageBytes(long value) {
      maxMessageBytes = value;
      return this;
    }

    /** Positive. */
    public Builder silenceSeconds(double value) {
      silenceS = value;
      return this;
    }

    /** For tests of wrong clocks. */
    public Builder localTime(DoubleSupplier value) {
      localTime = value;
      return this;
    }

    /**
     * Makes the settings.
     *
     * @throws SettingsException they make no sense
     */
    public ClientConfig build() throws SettingsException {
      if (stateDirectory == null) {
        throw new SettingsException("a client needs a state directory of its own");
      }
      if (!(heartbeatS >= SHORTEST_HEARTBEAT_S && heartbeatS <= LONGEST_HEARTBEAT_S)) {
        throw new SettingsException(
            "heartbeat interval of " + heartbeatS + " s: the server accepts 10 to 1800");
      }
      if (!(pollShortestS > 0 && pollShortestS <= pollLongestS)) {
        throw new SettingsException(
            "the shortest wait between polls has to be positive and at most the longest");
      }
      if (insecure && (caPem != null || !pinnedKeys.isEmpty())) {
        throw new SettingsException(
            "insecure means no TLS, so an authority or a pinned key makes no sense with it");
      }
      return new ClientConfig(this);
    }
  }
}
