# SPDX-License-Identifier: Apache-2.0
"""THREATS: the bytes of bodies, and how they come over the wire."""

import io
import json
from typing import Any

import pytest

from tests.deployment import Deployment
from tests.fuzz.bodies import ENCODINGS, encode
from tests.fuzz.requests import Pipe
from tests.fuzz.wire import comparable, send
from tests.scenery import Scene, write


class TestEncodings:
    """B06 B15: other bytes for the same text."""

    @pytest.mark.parametrize('encoding', sorted(set(ENCODINGS) - {'utf-8', 'blanks'}))
    @pytest.mark.parametrize('consumer', ['{CA}', '{CB}'])
    def test_a_foreign_claim_in_any_other_encoding_is_refused(
        self, guarded: Deployment, encoding: str, consumer: str
    ) -> None:
        scene = Scene(guarded)
        before = scene.rows()
        body = ENCODINGS[encoding](encode(scene.claim(scene.bob)))
        answer = write(guarded, scene, f'/allocations/{consumer}', body)
        # The body of a write to a foreign consumer is not read.
        read = consumer == '{CA}' and encoding != 'escaped'
        assert answer.status == (400 if read else 403), answer.body
        assert scene.rows() == before
        scene.assert_tells_nothing(answer)

    @pytest.mark.parametrize(
        'charset', ['unicode_escape', 'utf-16', 'latin-1', 'gbk', 'nosuch', '"', '']
    )
    def test_charsets(self, guarded: Deployment, charset: str) -> None:
        """B06: whatever the charset says, both read UTF-8."""
        scene = Scene(guarded)
        content_type = f'application/json; charset={charset}'
        for consumer, document, status in (
            ('{CB}', scene.claim(), 403),
            ('{CA}', scene.claim(scene.bob), 403),
            ('{CA}', scene.claim(), 204),
        ):
            path = f'/allocations/{consumer}'
            answer = write(guarded, scene, path, document, content_type=content_type)
            assert answer.status == status

    @pytest.mark.parametrize(
        'content_type', [None, '', 'text/plain', 'application/JSON', 'a/b; application']
    )
    @pytest.mark.parametrize('version', ['1.8', '1.28', '1.38'])
    def test_content_types(
        self, guarded: Deployment, content_type: str | None, version: str
    ) -> None:
        """B28: placement's 415 tells no consumer from another."""
        scene = Scene(guarded)
        answers = {
            comparable(
                write(
                    guarded,
                    scene,
                    f'/allocations/{consumer}',
                    scene.claim(version=version),
                    content_type=content_type,
                    version=version,
                )
            )
            for consumer in (scene.foreign, scene.unknown)
        }
        assert len(answers) == 1


class TestTransfer:
    """B07 B09 B10 B11: lengths, pipes and flags."""

    def test_chunked(self, guarded: Deployment, naive: Deployment) -> None:
        """B07"""
        guarded.activate()
        scene = Scene(guarded)
        body = json.dumps({scene.foreign: scene.claim()}).encode()

        def chunked() -> dict[str, Any]:
            return scene.environ(
                'POST',
                '/allocations',
                body=body,
                wsgi__input=io.BufferedReader(Pipe(body)),
                wsgi__input_terminated=True,
                HTTP_TRANSFER_ENCODING='chunked',
                CONTENT_LENGTH=None,
            )

        before = scene.rows()
        assert send(guarded.application, chunked()).status == 403
        assert scene.rows() == before
        naive.activate()
        assert send(naive.application, chunked()).status == 204
        assert scene.rows() != before

    @pytest.mark.parametrize('framing', ['chunked', 'length', 'both', 'seekable'])
    def test_the_owners_write_arrives(self, guarded: Deployment, framing: str) -> None:
        """B10 B11: byte for byte, from a pipe that cannot seek, too."""
        scene = Scene(guarded)
        body = json.dumps(scene.claim()).encode()
        more: dict[str, Any] = {'wsgi__input': io.BufferedReader(Pipe(body))}
        if framing == 'seekable':
            more = {'webob__is_body_seekable': True, 'wsgi__input': io.BytesIO(body)}
            more['wsgi__input'].seek(7)
        if framing in ('chunked', 'both'):
            more['wsgi__input_terminated'] = True
        if framing == 'chunked':
            more['CONTENT_LENGTH'] = None
        answer = write(guarded, scene, '/allocations/{CA}', body, **more)
        assert answer.status == 204, answer.body
        shown = guarded.show(scene.own)
        assert shown['allocations'][scene.provider]['resources'] == {'VCPU': 2}

    @pytest.mark.parametrize('length', ['-1', '0', '1', '+3', '{more}', '1x', ''])
    @pytest.mark.parametrize('terminated', [True, None])
    def test_other_lengths(
        self, guarded: Deployment, length: str, terminated: bool | None
    ) -> None:
        """B09: too short, too long, none at all: a refusal, nothing written."""
        scene = Scene(guarded)
        body = json.dumps(scene.claim(scene.bob)).encode()
        before = scene.rows()
        answer = write(
            guarded,
            scene,
            '/allocations/{CA}',
            body,
            CONTENT_LENGTH=length.replace('{more}', str(len(body) + 1)),
            wsgi__input_terminated=terminated,
        )
        # Without a usable length a terminated stream is read to its end.
        expected = 403 if length in ('1x', '') and terminated else 400
        assert answer.status == expected, answer.body
        assert scene.rows() == before

    def test_a_stale_flag_of_an_outer_filter(self, guarded: Deployment) -> None:
        """B11: the guard reads as little as placement will."""
        scene = Scene(guarded)
        body = json.dumps(scene.claim(scene.bob)).encode()
        shorter = json.dumps(scene.claim()).encode()
        padded = shorter + b' ' * (len(body) - len(shorter))
        before = scene.rows()
        for sent in (body, padded + body):
            answer = write(
                guarded,
                scene,
                '/allocations/{CA}',
                sent,
                CONTENT_LENGTH=str(len(shorter)),
                webob__is_body_seekable=True,
            )
            written = scene.rows() != before
            assert (answer.status == 204) == written == sent.startswith(padded)
        assert guarded.show(scene.own)['project_id'] == scene.alice.project_id
