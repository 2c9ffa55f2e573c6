package org.pocketfleet.transport;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.Collection;
import java.util.Set;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
import javax.net.ssl.X509TrustManager;
import org.pocketfleet.Hex;
import org.pocketfleet.SettingsException;

/**
 * Whom a client takes for its server: one whose certificate an authority vouches for, one that has
 * a pinned key, or both. Whether the certificate is for the host's name is checked elsewhere, and
 * always.
 *
 * <p>A pinned key without an authority is trusted whatever the certificate says of its validity, so
 * it works on a device whose clock is wrong.
 */
final class TlsTrust extends X509ExtendedTrustManager {
  /** Why a certificate is not trusted, in words for people. */
  static final class Distrust extends CertificateException {
    private static final long serialVersionUID = 1;

    Distrust(String words, Throwable cause) {
      super(words, cause);
    }
  }

  private final X509TrustManager authorities;
  private final Set<String> pinnedKeys;

  private TlsTrust(X509TrustManager authorities, Set<String> pinnedKeys) {
    this.authorities = authorities;
    this.pinnedKeys = pinnedKeys;
  }

  /**
   * Decides whom to trust.
   *
   * @param caPem certificates of the authorities that may vouch for the server; null: with pinned
   *     keys none is needed, without those that the system trusts
   * @param pinnedKeys base64 of the SHA-256 of the server's public key (SubjectPublicKeyInfo), any
   *     of which it must have; empty: any key
   * @throws SettingsException the certificates are none
   */
  static TlsTrust of(byte[] caPem, Set<String> pinnedKeys) throws SettingsException {
    boolean pinsAlone = caPem == null && !pinnedKeys.isEmpty();
    return new TlsTrust(pinsAlone ? null : authorities(caPem), pinnedKeys);
  }

  /** Makes what opens TLS sockets with this trust. */
  SSLSocketFactory sockets() {
    try {
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(null, new TrustManager[] {this}, null);
      return context.getSocketFactory();
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException("this Java has no TLS", error);
    }
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
    check(chain, () -> authorities.checkServerTrusted(chain, type));
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
      throws CertificateException {
    if (authorities instanceof X509ExtendedTrustManager) {
      X509ExtendedTrustManager extended = (X509ExtendedTrustManager) authorities;
      check(chain, () -> extended.checkServerTrusted(chain, type, socket));
    } else {
      checkServerTrusted(chain, type);
    }
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
      throws CertificateException {
    if (authorities instanceof X509ExtendedTrustManager) {
      X509ExtendedTrustManager extended = (X509ExtendedTrustManager) authorities;
      check(chain, () -> extended.checkServerTrusted(chain, type, engine));
    } else {
      checkServerTrusted(chain, type);
    }
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
    throw new CertificateException("this is a client");
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
      throws CertificateException {
    checkClientTrusted(chain, type);
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
      throws CertificateException {
    checkClientTrusted(chain, type);
  }

  @Override
  public X509Certificate[] getAcceptedIssuers() {
    return authorities == null ? new X509Certificate[0] : authorities.getAcceptedIssuers();
  }

  /** A check that throws when it fails. */
  private interface Check {
    void run() throws CertificateException;
  }

  private void check(X509Certificate[] chain, Check byAuthorities) throws Distrust {
    if (authorities != null) {
      try {
        byAuthorities.run();
      } catch (CertificateException error) {
        String clock = clockProblem(chain, Instant.now());
        throw new Distrust(clock == null ? innermost(error) : clock, error);
      }
    }
    if (!pinnedKeys.isEmpty() && !pinnedKeys.contains(pin(chain[0]))) {
      throw new Distrust("its key is not a pinned one: " + pin(chain[0]), null);
    }
  }

  private static String pin(X509Certificate certificate) {
    byte[] key = certificate.getPublicKey().getEncoded();
    return Base64.getEncoder().encodeToString(Hex.sha256().digest(key));
  }

  /** Says so if a certificate is outside its validity, by this device's clock. */
  private static String clockProblem(X509Certificate[] chain, Instant now) {
    for (X509Certificate certificate : chain) {
      Instant from = certificate.getNotBefore().toInstant();
      Instant until = certificate.getNotAfter().toInstant();
      if (now.isBefore(from) || now.isAfter(until)) {
        return (now.isBefore(from) ? "not valid before " + from : "expired on " + until)
            + ", and this device's clock says "
            + now.truncatedTo(ChronoUnit.SECONDS)
            + ": set the clock if that is wrong, otherwise the server needs a new certificate";
      }
    }
    return null;
  }

  private static String innermost(Throwable error) {
    Throwable cause = error;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return String.valueOf(cause.getMessage());
  }

  private static X509TrustManager authorities(byte[] caPem) throws SettingsException {
    try {
      KeyStore store = caPem == null ? null : store(caPem);
      TrustManagerFactory factory =
          TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(store);
      for (TrustManager manager : factory.getTrustManagers()) {
        if (manager instanceof X509TrustManager) {
          return (X509TrustManager) manager;
        }
      }
    } catch (GeneralSecurityException | IOException error) {
      throw new SettingsException(
          "the server's authority: not a PEM file of certificate authorities ("
              + innermost(error)
              + ")",
          error);
    }
    throw new IllegalStateException("this Java cannot check certificates");
  }

  private static KeyStore store(byte[] caPem) throws GeneralSecurityException, IOException {
    Collection<? extends Certificate> certificates =
        CertificateFactory.getInstance("X.509")
            .generateCertificates(new ByteArrayInputStream(caPem));
    if (certificates.isEmpty()) {
      throw new CertificateException("there is none in it");
    }
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    for (Certificate certificate : certificates) {
      String name = Hex.sha256(ByteBuffer.wrap(certificate.getEncoded()));
      store.setCertificateEntry(name, certificate);
    }
    return store;
  }
}
